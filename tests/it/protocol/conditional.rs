//! Validators and ranges (checklist 23, 62).

use crate::support::*;

fn with_zip() -> (FakeUpstream, Module, Larder) {
    let module = Module::new("example.com/m", "v1.0.0").file("data", zip::noise(300_000, 1));
    let up = FakeUpstream::serving(std::slice::from_ref(&module));
    let larder = larder().of(&up).start();
    (up, module, larder)
}

fn tag(response: &Response) -> String {
    let tag = response.header("etag").expect("an ETag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "strong: {tag}");
    tag
}

#[test]
fn c62_etags_are_the_hashes() {
    let (_up, module, larder) = with_zip();
    let gomod = larder.get(&module.url("mod"));
    gomod.ok();
    assert_eq!(tag(&gomod), format!("\"{}\"", module.mod_h1()));
    larder.get(&module.url("zip")).ok();
    let zip = larder.get(&module.url("zip"));
    assert_eq!(tag(&zip), format!("\"{}\"", module.h1()));
    larder.get(&module.url("info")).ok();
    tag(&larder.get(&module.url("info")));
}

#[test]
fn if_none_match_answers_304() {
    let (_up, module, larder) = with_zip();
    for kind in ["info", "mod", "zip"] {
        let path = module.url(kind);
        larder.get(&path).ok();
        let tag = tag(&larder.get(&path));
        let ask = |value: &str| larder.get_with(&path, "If-None-Match", value);
        for value in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            format!("\"a,b\",W/{tag} , \"c\""),
            "*".to_owned(),
        ] {
            let answer = ask(&value);
            assert_eq!(answer.status, 304, "{value}: {}", answer.describe());
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), Some(tag.as_str()));
            assert!(answer.header("cache-control").is_some());
        }
        for value in ["\"other\"", "W/\"other\"", "nonsense", ""] {
            assert_eq!(ask(value).status, 200, "{value}");
        }
        let head = Request::new("HEAD", &path)
            .header("If-None-Match", &tag)
            .send(larder.addr());
        assert_eq!(head.status, 304);
    }
}

#[test]
fn if_none_match_is_stronger_than_a_range() {
    let (_up, module, larder) = with_zip();
    larder.get(&module.url("zip")).ok();
    let tag = tag(&larder.get(&module.url("zip")));
    let answer = Request::get(&module.url("zip"))
        .header("If-None-Match", &tag)
        .header("Range", "bytes=0-9")
        .send(larder.addr());
    assert_eq!(answer.status, 304);
}

#[test]
fn c23_ranges_on_zips() {
    let (_up, module, larder) = with_zip();
    let zip = module.zip_bytes();
    let path = module.url("zip");
    let len = zip.len();
    larder.get(&path).ok();
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=100-199", 100, 200),
        ("bytes=100-", 100, len),
        ("bytes=-22", len - 22, len),
        ("bytes=-99999999", 0, len),
        ("bytes=200000-99999999", 200_000, len),
        ("bytes=0-0", 0, 1),
    ] {
        let answer = larder.get_with(&path, "Range", range);
        answer.expect(206);
        assert_eq!(answer.body, zip[from..to], "{range}");
        let place = format!("bytes {from}-{}/{len}", to - 1);
        assert_eq!(answer.header("content-range"), Some(place.as_str()));
        let length = answer.header("content-length").unwrap();
        assert_eq!(length, (to - from).to_string());
        assert!(answer.header("etag").is_some());
    }
    for range in [format!("bytes={len}-"), "bytes=-0".to_owned()] {
        let answer = larder.get_with(&path, "Range", &range);
        assert_eq!(answer.status, 416, "{range}: {}", answer.describe());
        let size = format!("bytes */{len}");
        assert_eq!(answer.header("content-range"), Some(size.as_str()));
    }
    for range in ["bytes=9-0", "lines=1-2", "bytes=a-b", "bytes"] {
        let answer = larder.get_with(&path, "Range", range);
        assert_eq!(answer.ok(), zip, "{range} is no range");
    }
    let plain = larder.get(&path);
    assert_eq!(plain.ok(), zip);
    assert_eq!(plain.header("accept-ranges"), Some("bytes"));
}

#[test]
fn c23_many_ranges_are_answered_somehow_right() {
    let (_up, module, larder) = with_zip();
    larder.get(&module.url("zip")).ok();
    let answer = larder.get_with(&module.url("zip"), "Range", "bytes=0-1,10-11");
    match answer.status {
        200 => assert_eq!(answer.ok(), module.zip_bytes()),
        206 => {
            let kind = answer.header("content-type").unwrap();
            assert!(kind.starts_with("multipart/byteranges"), "{kind}");
        }
        _ => panic!("{}", answer.describe()),
    }
}

#[test]
fn c23_if_range_decides_between_part_and_whole() {
    let (_up, module, larder) = with_zip();
    let zip = module.zip_bytes();
    larder.get(&module.url("zip")).ok();
    let tag = tag(&larder.get(&module.url("zip")));
    let ask = |condition: &str| {
        Request::get(&module.url("zip"))
            .header("Range", "bytes=10-19")
            .header("If-Range", condition)
            .send(larder.addr())
    };
    let part = ask(&tag);
    part.expect(206);
    assert_eq!(part.body, zip[10..20]);
    for other in [
        "\"other\"".to_owned(),
        format!("W/{tag}"),
        "Sat, 29 Oct 1994 19:43:31 GMT".to_owned(),
    ] {
        assert_eq!(ask(&other).ok(), zip, "{other}");
    }
}

#[test]
fn c23_a_range_of_a_missed_zip_fetches_it_whole_once() {
    let (up, module, larder) = with_zip();
    let zip = module.zip_bytes();
    let part = larder.get_with(&module.url("zip"), "Range", "bytes=-1000");
    part.expect(206);
    assert_eq!(part.body, zip[zip.len() - 1000..]);
    assert_eq!(up.last("*.zip").header("range"), None);
    assert_eq!(larder.get(&module.url("zip")).ok(), zip);
    assert_eq!(up.total(), 1);
}

#[test]
fn content_length_is_given_wherever_it_is_known() {
    let (_up, module, larder) = with_zip();
    for path in [
        module.url("zip"),
        module.url("mod"),
        module.url("info"),
        module.list_url(),
        module.latest_url(),
    ] {
        for _ in 0..2 {
            let answer = larder.get(&path);
            let length = answer.header("content-length").expect("a length");
            assert_eq!(length, answer.ok().len().to_string(), "{path}");
        }
    }
}
