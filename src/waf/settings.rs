//! What the directives other than rules say, with ModSecurity 2's defaults.

use super::regex::Regex;

/// `SecRuleEngine`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineMode {
    /// Rules are evaluated and may interrupt.
    On,
    /// Rules are evaluated and only log.
    DetectionOnly,
    /// No rule is evaluated.
    Off,
}

/// What happens to a body longer than its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitAction {
    /// Refuse it.
    Reject,
    /// Inspect the part within the limit.
    ProcessPartial,
}

/// `SecAuditEngine`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditEngine {
    /// Every transaction.
    On,
    /// None.
    Off,
    /// Those that a rule or the status marked.
    RelevantOnly,
}

/// `SecAuditLogFormat`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditFormat {
    /// Parts between boundary lines.
    Native,
    /// One JSON object on one line.
    Json,
}

/// Where a ruleset's audit entries go: `SecAuditLog` and `SecAuditLogFileMode`. The engine writes nothing itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuditLog {
    /// The file.
    pub path: std::path::PathBuf,
    /// Its permissions when it is made.
    pub mode: u32,
}

/// ModSecurity's permissions of an audit log.
const AUDIT_LOG_MODE: u32 = 0o640;

impl AuditLog {
    pub(crate) fn new(path: std::path::PathBuf) -> Self {
        Self { path, mode: AUDIT_LOG_MODE }
    }
}

/// All of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: EngineMode,
    pub(crate) request_body_access: bool,
    pub(crate) request_body_limit: u64,
    pub(crate) request_body_no_files_limit: u64,
    pub(crate) request_body_limit_action: LimitAction,
    pub(crate) json_depth_limit: u32,
    pub(crate) response_body_access: bool,
    pub(crate) response_body_limit: u64,
    pub(crate) response_body_limit_action: LimitAction,
    /// Lower-case media types without parameters; an empty one stands for "no Content-Type".
    pub(crate) response_body_mime_types: Vec<Vec<u8>>,
    pub(crate) arguments_limit: u32,
    pub(crate) argument_separator: u8,
    pub(crate) cookie_format: u8,
    pub(crate) cookie_separator: Option<u8>,
    pub(crate) upload_file_limit: u32,
    pub(crate) collection_timeout: u32,
    pub(crate) web_app_id: Vec<u8>,
    pub(crate) sensor_id: Vec<u8>,
    pub(crate) component_signatures: Vec<String>,
    pub(crate) audit_engine: AuditEngine,
    pub(crate) audit_parts: Vec<u8>,
    pub(crate) audit_format: AuditFormat,
    pub(crate) audit_relevant_status: Option<std::sync::Arc<Regex>>,
    pub(crate) audit_log: Option<std::sync::Arc<AuditLog>>,
    pub(crate) parse_xml_into_args: XmlArguments,
    pub(crate) transformations: super::transformation::TransformationContext,
}

/// `SecParseXmlIntoArgs`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum XmlArguments {
    /// XML targets only.
    Off,
    /// Leaves are arguments as well.
    On,
    /// Leaves are arguments, and there are no XML targets.
    OnlyArguments,
}

/// ModSecurity 2's limit on a request body: 128 MiB.
const REQUEST_BODY_LIMIT: u64 = 134_217_728;
/// ModSecurity 2's limit on a request body without its files: 1 MiB.
const REQUEST_BODY_NO_FILES_LIMIT: u64 = 1_048_576;
/// ModSecurity 2's limit on a response body: 512 KiB.
const RESPONSE_BODY_LIMIT: u64 = 524_288;
/// ModSecurity 2's limit on the nesting of JSON.
const JSON_DEPTH_LIMIT: u32 = 10_000;
/// ModSecurity 2's limit on the number of arguments.
const ARGUMENTS_LIMIT: u32 = 1_000;
/// ModSecurity 2's limit on uploaded files in one request.
const UPLOAD_FILE_LIMIT: u32 = 100;
/// ModSecurity 2's life of a persistent collection, in seconds.
const COLLECTION_TIMEOUT: u32 = 3_600;

impl Default for Settings {
    fn default() -> Self {
        Self {
            engine: EngineMode::Off,
            request_body_access: false,
            request_body_limit: REQUEST_BODY_LIMIT,
            request_body_no_files_limit: REQUEST_BODY_NO_FILES_LIMIT,
            request_body_limit_action: LimitAction::Reject,
            json_depth_limit: JSON_DEPTH_LIMIT,
            response_body_access: false,
            response_body_limit: RESPONSE_BODY_LIMIT,
            response_body_limit_action: LimitAction::Reject,
            response_body_mime_types: vec![b"text/plain".to_vec(), b"text/html".to_vec()],
            arguments_limit: ARGUMENTS_LIMIT,
            argument_separator: b'&',
            cookie_format: 0,
            cookie_separator: None,
            upload_file_limit: UPLOAD_FILE_LIMIT,
            collection_timeout: COLLECTION_TIMEOUT,
            web_app_id: b"default".to_vec(),
            sensor_id: b"default".to_vec(),
            component_signatures: Vec::new(),
            audit_engine: AuditEngine::Off,
            audit_parts: b"ABCFHZ".to_vec(),
            audit_format: AuditFormat::Native,
            audit_relevant_status: None,
            audit_log: None,
            parse_xml_into_args: XmlArguments::Off,
            transformations: super::transformation::TransformationContext::default(),
        }
    }
}
