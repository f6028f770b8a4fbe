//! Content-Encoding headers that mean nothing, as object stores keep and repeat them.

use crate::support::*;

fn endpoints(module: &Module) -> [(String, bytes::Bytes); 4] {
    [
        (module.list_url(), "v1.0.0\n".into()),
        (module.url("info"), module.info_bytes()),
        (module.url("mod"), module.mod_bytes()),
        (module.url("zip"), module.zip_bytes()),
    ]
}

fn module() -> Module {
    Module::new("example.com/m", "v1.0.0").file("text", vec![b'a'; 400_000])
}

#[track_caller]
fn is_served(what: &str, fault: &Fault) {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    up.validators();
    up.ranges();
    up.rule("*", fault.clone());
    let larder = larder().of(&up).start();
    for (path, body) in endpoints(&module) {
        let answer = larder.get(&path);
        assert!(answer.is_ok(), "{what}: {}", answer.describe());
        assert_eq!(answer.body, body, "{what}: {path}");
        assert_eq!(answer.header("content-encoding"), None, "{what}: {path}");
    }
}

#[test]
fn codings_that_mean_nothing_are_passed_over() {
    for value in [
        "aws-chunked",
        "utf-8",
        "none",
        "binary",
        "",
        "identity",
        "identity, aws-chunked",
        "br",
        "gzip",
        "x-gzip, identity",
    ] {
        // The bytes are not coded, whatever it says.
        let fault = Fault::none().header("Content-Encoding", value);
        is_served(value, &fault);
    }
    let two = Fault::none()
        .header("Content-Encoding", "")
        .header("Content-Encoding", "aws-chunked");
    is_served("two lines", &two);
}

#[test]
fn gzip_is_found_among_codings_that_mean_nothing() {
    for value in ["aws-chunked,gzip", "gzip, identity", "X-GZIP"] {
        let fault = Fault::gzip().header("Content-Encoding", value);
        is_served(value, &fault);
    }
}

#[test]
fn what_really_is_coded_in_another_way_is_an_upstream_fault() {
    let module = module();
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).no_breaker().start();
    let coded = |bytes: &[u8]| -> Vec<u8> { bytes.iter().map(|byte| byte ^ 0x5a).collect() };
    for (path, body) in endpoints(&module) {
        let fault = Fault::none().body(coded(&body));
        up.rule(&path, fault.header("Content-Encoding", "br"));
        larder.get(&path).refuses(&[502]);
    }
    up.clear_rules();
    for (path, body) in endpoints(&module) {
        assert_eq!(larder.get(&path).ok(), body);
    }
}

#[test]
fn a_transfer_that_breaks_off_is_taken_up_whatever_it_says_of_its_coding() {
    let module = Module::new("example.com/m", "v1.0.0").file("noise", zip::noise(600_000, 7));
    for value in ["aws-chunked", "gzip"] {
        let up = FakeUpstream::serving(std::slice::from_ref(&module));
        up.validators();
        up.ranges();
        let says = |fault: Fault| fault.header("Content-Encoding", value);
        up.rule_n("*.zip", 1, says(Fault::cut(200_000)));
        up.rule("*.zip", says(Fault::none()));
        let larder = larder().of(&up).start();
        let zip = larder.get(&module.url("zip"));
        assert_eq!(zip.ok(), module.zip_bytes(), "{value}");
        assert!(up.last("*.zip").header("range").is_some(), "{value}");
    }
}
