//! Every bound of the program in one place: a named default, the reason for it, the configuration key that changes
//! it and the metric that counts when it is hit.
//!
//! Nothing in portcullis grows without one of these. Sizes are in bytes and end in `_BYTES`.

use std::time::Duration;

/// Longest request head (request line and headers). Application Gateway allows 32 kB; nginx 4 × 8 kB.
/// Key `listeners[].limits.head_bytes`; answered with 431 (414 when the request line alone exceeds it).
pub const REQUEST_HEAD_BYTES: usize = 64 * 1024;

/// Most header fields in one head. Key `listeners[].limits.headers`; answered with 431.
pub const REQUEST_HEADERS: usize = 100;

/// Longest request id taken from a client, where `listeners[].trust_request_id` allows that. Longer ones are replaced.
pub const REQUEST_ID_BYTES: usize = 128;

/// Time for a complete request head, from its first byte (slowloris). Key `listeners[].timeouts.head`.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for a TLS handshake. Key `listeners[].timeouts.handshake`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest configuration file, and fragment. Ten thousand routes fit.
pub const CONFIGURATION_BYTES: usize = 8 * 1024 * 1024;

/// Most files of one configuration.
pub const CONFIGURATION_FRAGMENTS: usize = 1_000;

/// Bytes of log lines waiting for the disk, for each log. Beyond it lines are dropped and counted in
/// `portcullis_log_dropped_total`; `logs.queue` bounds the lines.
pub const LOG_QUEUE_BYTES: usize = 16 * 1024 * 1024;

/// Series of `portcullis_waf_rule_matches_total` that a worker counts. Bounded by the loaded rules; this holds over
/// reloads with ever new ones.
pub const RULE_METRICS: usize = 20_000;

/// Longest rule file or data file of the rule language. The whole Core Rule Set has 1.1 MB in 50 files. No key:
/// a longer file is an error at load.
pub const RULE_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Deepest nesting of `Include` in rule files. No key: deeper is an error at load.
pub const RULE_INCLUDE_DEPTH: usize = 32;

/// Most rule files of one rule set, so that includes that multiply each other end. No key: more is an error at load.
pub const RULE_FILES: usize = 10_000;

/// Most problems reported of one rule set; a last line says that there are more. No key.
pub const RULE_DIAGNOSTICS: usize = 500;

/// Longest pattern of one regex. The longest of the Core Rule Set has 12,126 bytes. A longer one is a load error.
pub const REGEX_PATTERN_BYTES: usize = 128 * 1024;

/// Deepest nesting of groups in a pattern (PCRE2 allows 250); keeps recursion over the tree within any stack. A
/// deeper pattern is a load error.
pub const REGEX_NESTING: usize = 200;

/// Most quantifiers one after the other (`a{2}{3}`), which nest as groups do.
pub const REGEX_REPEAT_CHAIN: usize = 3;

/// Most capturing groups of a pattern. Rules see ten. More is a load error.
pub const REGEX_GROUPS: usize = 1000;

/// Largest bound of a counted repetition, PCRE's own.
pub const REGEX_REPEAT: u32 = 65_535;

/// Largest compiled form of one pattern (the largest of the Core Rule Set takes 0.23 MB). A pattern beyond it runs on
/// the backtracker, which counts instead of unrolling.
pub const REGEX_NFA_BYTES: usize = 4 * 1024 * 1024;

/// States of one pattern's automaton in one worker, made as needed; when they are more they begin anew. Most patterns of
/// the Core Rule Set need a few kilobytes.
pub const REGEX_STATES_BYTES: usize = 2 * 1024 * 1024;

/// The same for a lazy automaton that knows where a match is.
pub const REGEX_LAZY_DFA_BYTES: usize = 2 * 1024 * 1024;

/// All regex caches of one worker together; when they exceed it those that were used least for what they take are dropped.
pub const REGEX_CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Regexes that one worker keeps caches for at the same time.
pub const REGEX_CACHE_SLOTS: usize = 4096;

/// Steps of one search of the backtracker (SecPcreMatchLimit sets it): some 3 ms. Exhaustion is an outcome that the
/// engine counts and logs (MSC_PCRE_LIMITS_EXCEEDED).
pub const REGEX_BACKTRACK_STEPS: u64 = 500_000;

/// Match limit that ModSecurity 2 gives PCRE unless SecPcreMatchLimit says otherwise; only for comparisons with it.
pub const MODSECURITY_2_MATCH_LIMIT: u64 = 1_500;

/// Alternatives that the backtracker keeps open at once, 24 bytes each; exhaustion counts as that of steps.
pub const REGEX_BACKTRACK_STACK: usize = 256 * 1024;

/// Most bytes of a body that a phase looks at on the worker itself; more is inspected aside, on a thread of a small pool.
/// Ordinary bodies of 32 kB take tens to some hundreds of microseconds, the handing over some tens. A compressed body
/// counts for [`INSPECTION_UNFOLDING`] times its bytes. No key.
pub const INSPECTION_INLINE_BYTES: usize = 32 * 1024;

/// What a compressed body is taken to unfold to before it has: ordinary text reaches 10.
pub const INSPECTION_UNFOLDING: usize = 10;

/// Longest wait for the inspection of one body aside, its turn included. Beyond it the policy's `on_fault` decides:
/// 503, fault `inspection_timeout` in `portcullis_faults_total`, or on without. No key.
pub const INSPECTION_PATIENCE: Duration = Duration::from_secs(30);

/// Most bytes that one transaction keeps besides its bodies: head, decoded arguments, variables that rules set. Beyond
/// it variables are no longer stored, and arguments no longer taken apart. No key; `portcullis_waf_full_total` counts.
pub const WAF_ARENA_BYTES: usize = 64 * 1024 * 1024;

/// Transactions that are over which a worker keeps for the next ones, each with at most 16 kB of text and 8 kB of
/// everything else. Of some dozen HTTP/2 connections with ten streams each, a hundred wait for their backends at a time.
/// 10 MB together at most, ordinarily 2 MB.
pub const WAF_SPARE_TRANSACTIONS: usize = 128;

/// Longest value that a worker knows from request to request. Fuzz targets have less room here and in those that
/// follow, so that they see what happens when there is none.
pub const WAF_KEPT_VALUE_BYTES: usize = if cfg!(fuzzing) { 24 } else { 256 };

/// Values that a worker knows from request to request.
pub const WAF_KEPT_VALUES: usize = if cfg!(fuzzing) { 128 } else { 63 * 1024 };

/// Of those, what one transaction may add: a long list of parameters shall not push out what is often seen.
pub const WAF_KEPT_PER_TRANSACTION: usize = WAF_KEPT_VALUES / if cfg!(fuzzing) { 8 } else { 16 };

/// Bytes of the values that a worker knows from request to request.
pub const WAF_KEPT_BYTES: usize = if cfg!(fuzzing) { 768 } else { 4 * 1024 * 1024 };

/// Bytes in which it says of those values which groups of rules need not look at them: of 500 groups of rules and more
/// fewer values are known.
pub const WAF_KEPT_QUIET_BYTES: usize = if cfg!(fuzzing) { 512 } else { 4 * 1024 * 1024 };

/// What transformations make of those values, that a worker knows from request to request.
pub const WAF_KEPT_STEPS: usize = if cfg!(fuzzing) { 96 } else { 128 * 1024 };

/// Classes of values that a worker knows from request to request.
pub const WAF_KEPT_CLASSES: usize = if cfg!(fuzzing) { 32 } else { 32768 };

/// Sets of operators that were asked about such values, and do or do not match, that a worker knows.
pub const WAF_KEPT_LESSONS: usize = if cfg!(fuzzing) { 24 } else { 16384 };

/// What operators found in those values, that a worker knows from request to request.
pub const WAF_KEPT_FINDINGS: usize = if cfg!(fuzzing) { 16 } else { 2048 };

/// What a worker keeps of each buffer for a request's values.
pub const WAF_KEPT_BUFFER_BYTES: usize = if cfg!(fuzzing) { 256 } else { 128 * 1024 };

/// Questions of classes that a worker knows from request to request, and may come to know in one.
pub const WAF_KEPT_VISITS: usize = if cfg!(fuzzing) { 32 } else { 64 * 1024 };

/// Pairs of a rule and a value that could match it which are noted in one phase; beyond it rules look at all of theirs.
pub const WAF_PHASE_SUSPECTS: usize = if cfg!(fuzzing) { 32 } else { 256 * 1024 };

/// Room for such pairs that a worker keeps.
pub const WAF_KEPT_SUSPECTS: usize = 16 * 1024;

/// Values, transformed ones included, that are remembered in one phase; the rest is evaluated plainly.
pub const WAF_PHASE_VALUES: usize = if cfg!(fuzzing) { 96 } else { 256 * 1024 };

/// Bytes of transformed values that are remembered in one phase; the rest is evaluated plainly.
pub const WAF_PHASE_BYTES: usize = if cfg!(fuzzing) { 2048 } else { 8 * 1024 * 1024 };

/// Most variables with names made at run time, in TX and in each persistent collection. No key.
pub const WAF_TX_VARIABLES: usize = 10_000;

/// Most matches of one transaction that are logged. No key; the score goes on counting.
pub const WAF_MATCHES: usize = 2_000;

/// Most bytes of a message, of log data, of a tag, of a name and of a path in a log line, each. No key; the rest is
/// left out. Log data is cut at 512 bytes in ModSecurity's line format besides.
pub const WAF_LOG_TEXT_BYTES: usize = 4096;

/// Longest name of an argument made from JSON: names repeat the keys of all containers around. No key; longer is
/// REQBODY_ERROR.
pub const WAF_JSON_NAME_BYTES: usize = 64 * 1024;

/// Most bytes that the candidates of one value may have together in `@verifyCC` and its like: a pattern such as `\d+`
/// on a long row of digits would otherwise be searched in quadratic time. Counts as `MSC_PCRE_LIMITS_EXCEEDED`.
pub const VERIFY_SCANNED_BYTES: usize = 4 * 1024 * 1024;

/// Most groups that `@rxGlobal` captures from one value; further matches are not looked for.
pub const RX_GLOBAL_GROUPS: usize = 100;

/// Bytes of all persistent collections (IP, SESSION and so on) in memory together. When they are used up, collections
/// that would expire first go before their time; `portcullis_waf_collections_evicted_total` counts.
pub const COLLECTION_STORE_BYTES: usize = 64 * 1024 * 1024;

/// Answers of block lists (`@rbl`) that are remembered. Beyond it the oldest are forgotten and asked for again.
pub const BLOCK_LIST_ANSWERS: usize = 65_536;

/// Names waiting to be asked for, for `@rbl`. A name beyond it is not asked for now;
/// `portcullis_waf_rbl_overflowed_total` counts.
pub const BLOCK_LIST_QUESTIONS: usize = 4096;

/// Most bytes of one persistent collection; an update that would make it larger is dropped and counted.
pub const COLLECTION_BYTES: usize = 64 * 1024;

/// Most parts of a multipart body. No key; more is REQBODY_ERROR.
pub const WAF_MULTIPART_PARTS: usize = 10_000;

/// Most header lines of one part of a multipart body. No key; more is REQBODY_ERROR.
pub const WAF_MULTIPART_HEADERS: usize = 100;

/// Deepest nesting of elements of an XML body, libxml2's own limit. No key; deeper is REQBODY_ERROR.
pub const WAF_XML_DEPTH: usize = 256;

/// Most elements, texts and attributes of an XML body together. No key; more is REQBODY_ERROR.
pub const WAF_XML_NODES: usize = 500_000;

/// Bytes that a compressed body may unfold to for each byte sent. Ordinary text reaches 10, the format's end is 1,032.
/// No key; beyond it the body is inspected as it was sent and is REQBODY_ERROR.
pub const WAF_INFLATE_RATIO: usize = 100;

/// Bytes that a compressed body may unfold to whatever the ratio. No key.
pub const WAF_INFLATE_FREE_BYTES: usize = 64 * 1024;

/// Most bytes that an archive of recorded requests may unpack to (`portcullis replay`, `portcullis bench`).
pub const CAPTURE_ARCHIVE_BYTES: u64 = 1024 * 1024 * 1024;
