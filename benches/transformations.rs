//! What a transformation costs for the values that are seen all the time: those that it leaves alone.
//!
//! Each case checks its answer before it is timed. Run with `cargo bench --no-default-features --bench transformations`.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use portcullis::waf::transformation::{Transformation, TransformationContext};

const VALUES: &[(&str, &[u8])] = &[
    ("id", b"1847293"),
    ("name", b"first_name"),
    ("text", b"The quick brown fox jumps over the lazy dog, twice."),
    ("agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("path", b"/api/v2/customers/7f3a9c1e/orders/2026/items.json"),
    ("cookie", b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0"),
];

/// The functions of the Core Rule Set.
const FUNCTIONS: &[Transformation] = &[
    Transformation::UrlDecodeUni,
    Transformation::Lowercase,
    Transformation::JsDecode,
    Transformation::HtmlEntityDecode,
    Transformation::Utf8ToUnicode,
    Transformation::RemoveNulls,
    Transformation::CssDecode,
    Transformation::CmdLine,
    Transformation::RemoveWhitespace,
    Transformation::ReplaceComments,
    Transformation::NormalisePath,
    Transformation::NormalisePathWin,
    Transformation::EscapeSeqDecode,
    Transformation::CompressWhitespace,
    Transformation::RemoveCommentsChar,
];

/// The longest pipeline that many rules share.
const PIPELINE: &[Transformation] = &[
    Transformation::Utf8ToUnicode,
    Transformation::UrlDecodeUni,
    Transformation::HtmlEntityDecode,
    Transformation::JsDecode,
    Transformation::CssDecode,
    Transformation::RemoveNulls,
];

fn unchanged(criterion: &mut Criterion) {
    let context = TransformationContext::default();
    let mut out = Vec::with_capacity(4096);
    let mut group = criterion.benchmark_group("unchanged");
    for function in FUNCTIONS {
        for (name, value) in VALUES {
            if function.apply(value, &mut out, &context) {
                continue;
            }
            group.bench_function(format!("{}/{name}", function.name()), |bencher| {
                bencher.iter(|| function.apply(black_box(value), &mut out, &context));
            });
        }
    }
    group.finish();
}

fn pipeline(criterion: &mut Criterion) {
    let context = TransformationContext::default();
    let mut group = criterion.benchmark_group("pipeline");
    for (name, value) in VALUES {
        let mut out = Vec::with_capacity(4096);
        assert!(PIPELINE.iter().all(|function| !function.apply(value, &mut out, &context)), "{name}");
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                PIPELINE.iter().filter(|function| function.apply(black_box(value), &mut out, &context)).count()
            });
        });
    }
    group.finish();
}

fn changed(criterion: &mut Criterion) {
    let context = TransformationContext::default();
    let mut group = criterion.benchmark_group("changed");
    for (function, unit) in [
        (Transformation::UrlDecodeUni, "a%20b+c%u2018"),
        (Transformation::Lowercase, "Ab"),
        (Transformation::JsDecode, "a\\x3cb"),
        (Transformation::HtmlEntityDecode, "a&#60;b&lt;"),
        (Transformation::Utf8ToUnicode, "gr\u{fc}\u{df}e \u{4e2d}"),
        (Transformation::CmdLine, "C^md , /c"),
        (Transformation::NormalisePath, "/a/../b/./c"),
        (Transformation::RemoveWhitespace, "a b "),
        (Transformation::Base64Decode, "YWJj"),
        (Transformation::HexEncode, "ab"),
        (Transformation::Sha1, "ab"),
    ] {
        let value = unit.repeat(4096 / unit.len());
        let mut out = Vec::new();
        assert!(function.apply(value.as_bytes(), &mut out, &context), "{}", function.name());
        group.throughput(Throughput::Bytes(value.len() as u64));
        group.bench_function(function.name(), |bencher| {
            bencher.iter_batched_ref(
                || Vec::with_capacity(4 * value.len()),
                |out| function.apply(black_box(value.as_bytes()), out, &context),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, unchanged, pipeline, changed);
criterion_main!(benches);
