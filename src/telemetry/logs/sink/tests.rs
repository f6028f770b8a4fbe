use super::testing::Pipe;
use super::*;

const LONG: Duration = Duration::from_secs(20);

fn line(text: &'static str) -> impl FnOnce(&mut Vec<u8>) {
    move |out| out.extend_from_slice(text.as_bytes())
}

#[test]
fn lines_come_in_order_and_in_batches() {
    let pipe = Pipe::default();
    let sink = pipe.sink(Format::Text);
    for text in ["one", "two\n", "", "three"] {
        sink.write_line(line(text));
    }
    assert!(sink.flush(LONG));
    assert_eq!(pipe.text(), "one\ntwo\nthree\n");
    assert_eq!(
        sink.stats(),
        SinkStats {
            lines: 3,
            bytes: 14,
            dropped: 0
        }
    );
    assert!(pipe.writes.load(Ordering::Relaxed) <= 3);
    assert!(sink.flush(LONG), "nothing to wait for");
}

#[test]
fn lines_come_without_a_flush() {
    let pipe = Pipe::default();
    let sink = pipe.sink(Format::Text);
    for _ in 0..2 {
        sink.write_line(line("here"));
        let before = pipe.text().len();
        pipe.wait_until(|pipe| pipe.text().len() > before);
    }
    assert_eq!(pipe.text(), "here\nhere\n");
}

#[test]
fn a_line_may_be_logged_while_another_is_formatted() {
    let pipe = Pipe::default();
    let sink = pipe.sink(Format::Text);
    sink.write_line(|out| {
        out.extend_from_slice(b"outer");
        sink.write_line(line("inner"));
    });
    assert!(sink.flush(LONG));
    assert_eq!(pipe.text(), "inner\nouter\n");
}

#[test]
fn what_does_not_fit_is_dropped_counted_and_told() {
    for (queue, format) in [
        (
            Queue {
                lines: 3,
                bytes: 1 << 20,
            },
            Format::Text,
        ),
        (
            Queue {
                lines: 1 << 20,
                bytes: 15,
            },
            Format::Json,
        ),
    ] {
        let pipe = Pipe::default();
        let sink = pipe.sink_of(queue, format);
        let gate = pipe.gate.lock().expect("a lock");
        sink.write_line(line("1st."));
        // From here on the first line is being written, and the batch is empty.
        pipe.wait_until(|pipe| pipe.writes.load(Ordering::Relaxed) == 1);
        assert!(
            !sink.flush(Duration::from_millis(1)),
            "the pipe is stopped up"
        );
        for _ in 0..10 {
            sink.write_line(line("next"));
        }
        assert_eq!(sink.dropped(), 7);
        drop(gate);
        sink.flush(LONG);
        assert!(sink.flush(LONG));
        let text = pipe.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..4], ["1st.", "next", "next", "next"], "{text}");
        let told = match format {
            Format::Text => {
                "1970-01-01T00:00:00.000Z  WARN larder::telemetry::logs: log lines were dropped dropped=7"
            }
            Format::Json => {
                "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"level\":\"WARN\",\
                 \"target\":\"larder::telemetry::logs\",\"msg\":\"log lines were dropped\",\"dropped\":7}"
            }
        };
        assert_eq!(lines[4..], [told]);
    }
}

#[test]
fn a_broken_pipe_hurts_nobody() {
    let mut pipe = Pipe::default();
    pipe.broken = true;
    let sink = pipe.sink(Format::Text);
    for _ in 0..3 {
        sink.write_line(line("lost"));
    }
    assert!(sink.flush(LONG));
    assert_eq!(
        sink.stats(),
        SinkStats {
            lines: 0,
            bytes: 0,
            dropped: 3
        }
    );
}

#[test]
fn what_is_left_is_written_when_the_last_sink_is_gone() {
    let pipe = Pipe::default();
    let sink = pipe.sink(Format::Text);
    sink.clone().write_line(line("last words"));
    drop(sink);
    pipe.wait_until(|pipe| !pipe.text().is_empty());
    assert_eq!(pipe.text(), "last words\n");
}

#[test]
fn many_threads_lose_and_mix_nothing() {
    let pipe = Pipe::default();
    let sink = pipe.sink_of(
        Queue {
            lines: 1 << 20,
            bytes: 64 << 20,
        },
        Format::Text,
    );
    thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let sink = &sink;
            scope.spawn(move || {
                for number in 0..5_000 {
                    sink.write_line(|out| {
                        let _ = write!(Bytes(out), "{name} {number} {}", name.repeat(100));
                    });
                }
            });
        }
    });
    assert!(sink.flush(LONG));
    let text = pipe.text();
    for name in ["a", "b", "c", "d"] {
        let mine = text.lines().filter(|line| line.starts_with(name));
        let expected = (0..5_000).map(|number| format!("{name} {number} {}", name.repeat(100)));
        assert!(mine.map(str::to_owned).eq(expected));
    }
    assert_eq!(sink.stats().lines, 20_000);
}
