//! The table of keys. Each section's file declares its keys once, with [`section!`]: name, type,
//! default, documentation and what is allowed. From that one place come the typed struct, the
//! checks, the names in the environment, the default file and `config show`.

/// A section of the configuration: `[freshness]`.
#[derive(Debug)]
pub(super) struct Section {
    pub name: &'static str,
    /// Documentation, a line each.
    pub doc: &'static [&'static str],
    pub keys: Vec<Key>,
}

/// A key of a section.
#[derive(Debug)]
pub(super) struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// Documentation, a line each.
    pub doc: &'static [&'static str],
    /// The default, as TOML.
    pub default: &'static str,
    /// What is allowed, in words; may be empty.
    pub allowed: String,
    pub twin: Option<Twin>,
}

/// The short names that some keys have besides: a flag, and a variable without the section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Twin {
    pub flag: &'static str,
    pub env: &'static str,
}

impl Key {
    /// `freshness.ttl`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `LARDER_FRESHNESS__TTL`.
    pub(super) fn env(&self) -> String {
        format!("LARDER_{}__{}", self.section, self.name).to_uppercase()
    }
}

/// Declares a section and its struct.
///
/// Every key reads `name: Type = default => codec;`, the default being TOML, and may end with
/// `, twin "--flag" "VARIABLE"`. Its doc comment is the documentation in rustdoc and in the default
/// file. Fields in a `derived` block are no keys: they are worked out by a function of the reader,
/// which may look at the values of the keys by their names (nothing where a value is wrong).
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $Name:ident = $section:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident : $Type:ty = $default:tt => $codec:expr
                    $(, twin $flag:literal $env:literal)? ;
            )*
        }
        $(derived {
            $($(#[doc = $note:literal])* $derived:ident : $Derived:ty = $from:expr ;)*
        })?
    ) => {
        $(#[doc = $about])*
        #[allow(rustdoc::bare_urls, reason = "these are comments of a TOML file as well")]
        #[derive(Clone, PartialEq)]
        pub struct $Name {
            $($(#[doc = $doc])* pub $field: $Type,)*
            $($($(#[doc = $note])* pub $derived: $Derived,)*)?
        }

        impl $Name {
            /// The declaration of this section.
            pub(in crate::config) fn section() -> $crate::config::section::Section {
                #[allow(unused_imports, reason = "not every section uses every codec")]
                use $crate::config::codec::Codec as _;
                $crate::config::section::Section {
                    name: $section,
                    doc: &[$($about),*],
                    keys: vec![$($crate::config::section::Key {
                        section: $section,
                        name: stringify!($field),
                        doc: &[$($doc),*],
                        default: stringify!($default),
                        allowed: $codec.allowed(),
                        twin: $crate::config::section::twin!($($flag $env)?),
                    }),*],
                }
            }

            /// Reads this section; nothing if a value is wrong, which the reader then knows.
            pub(in crate::config) fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
            ) -> Option<Self> {
                // All of them before the first `?`: every fault is told at once.
                $(let $field = reader.value(
                    $section, stringify!($field), stringify!($default), &$codec,
                );)*
                $($(let $derived: $Derived = ($from)(&*reader);)*)?
                Some(Self { $($field: $field?,)* $($($derived,)*)? })
            }

            /// The keys that are not as in another one.
            pub(in crate::config) fn changed_keys(&self, other: &Self) -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(if self.$field != other.$field {
                    keys.push(concat!($section, ".", stringify!($field)));
                })*
                keys
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($Name))
                    $(.field(
                        stringify!($field),
                        // An upstream's address may carry credentials.
                        &format_args!("{}", $crate::config::secret::mask_user_info(
                            &format!("{:?}", self.$field),
                        )),
                    ))*
                    .finish()
            }
        }
    };
}

/// The short names of a key, if it has any.
macro_rules! twin {
    () => {
        None
    };
    ($flag:literal $env:literal) => {
        Some($crate::config::section::Twin {
            flag: $flag,
            env: $env,
        })
    };
}

pub(super) use {section, twin};
