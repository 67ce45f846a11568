//! Directives that are not rules. What the language's tables call inert or refused has been dealt with by the parser;
//! what is left here is stored.

use std::path::Path;
use std::sync::Arc;

use super::Compiler;
use super::action::{audit_engine, engine_mode, xml_arguments};
use crate::diagnostics::Location;
use crate::seclang::ast::{DirectiveKind, Ruleset, Setting};
use crate::waf::number::atoi;
use crate::waf::settings::{AuditEngine, AuditFormat, AuditLog, LimitAction, Settings};
use crate::waf::transformation::UnicodeMap;

/// The code page of the map that ModSecurity's recommended configuration loads.
const DEFAULT_CODE_PAGE: u32 = 20127;

/// Reads them all; the last of several wins.
pub(super) fn compile(compiler: &mut Compiler<'_>, ruleset: &Ruleset) -> Settings {
    let mut settings = Settings::default();
    if !compiler.options.unicode_map {
        settings.transformations.unicode_map = None;
    }
    let mut wants_audit = None;
    let mut mode = None;
    for directive in &ruleset.directives {
        if let DirectiveKind::Setting(setting) = &directive.kind {
            apply(compiler, &mut settings, &directive.location, setting);
            match setting.name {
                "SecAuditEngine" => {
                    wants_audit = (settings.audit_engine != AuditEngine::Off).then_some(&directive.location);
                }
                "SecAuditLogFileMode" => mode = octal(setting),
                _ => {}
            }
        }
    }
    match (&mut settings.audit_log, mode, wants_audit) {
        (Some(log), Some(mode), _) => Arc::make_mut(log).mode = mode,
        (None, _, Some(location)) => {
            compiler.warn(location, None, "audit entries are written nowhere: SecAuditLog names no file");
        }
        _ => {}
    }
    settings
}

fn apply(compiler: &mut Compiler<'_>, settings: &mut Settings, location: &Location, setting: &Setting) {
    let first = setting.arguments.first().map(Vec::as_slice).unwrap_or_default();
    let lower = first.to_ascii_lowercase();
    let is_on = lower == b"on";
    let number = || atoi(first).max(0) as u64;
    let small = || u32::try_from(atoi(first).max(0)).unwrap_or(u32::MAX);
    let limit_action = || if lower == b"processpartial" { LimitAction::ProcessPartial } else { LimitAction::Reject };
    match setting.name {
        "SecRuleEngine" => settings.engine = engine_mode(&lower),
        "SecRequestBodyAccess" => settings.request_body_access = is_on,
        "SecRequestBodyLimit" => settings.request_body_limit = number(),
        "SecRequestBodyNoFilesLimit" => settings.request_body_no_files_limit = number(),
        "SecRequestBodyLimitAction" => settings.request_body_limit_action = limit_action(),
        "SecRequestBodyJsonDepthLimit" => settings.json_depth_limit = small(),
        "SecResponseBodyAccess" => settings.response_body_access = is_on,
        "SecResponseBodyLimit" => settings.response_body_limit = number(),
        "SecResponseBodyLimitAction" => settings.response_body_limit_action = limit_action(),
        "SecResponseBodyMimeType" => {
            for argument in &setting.arguments {
                for kind in argument.split(u8::is_ascii_whitespace).filter(|kind| !kind.is_empty()) {
                    // ModSecurity 2 writes `(null)` for a response without Content-Type.
                    let kind = if kind == b"(null)" { Vec::new() } else { kind.to_ascii_lowercase() };
                    if !settings.response_body_mime_types.contains(&kind) {
                        settings.response_body_mime_types.push(kind);
                    }
                }
            }
        }
        "SecResponseBodyMimeTypesClear" => settings.response_body_mime_types.clear(),
        "SecArgumentsLimit" => settings.arguments_limit = small(),
        "SecArgumentSeparator" => settings.argument_separator = first.first().copied().unwrap_or(b'&'),
        "SecCookieFormat" => settings.cookie_format = u8::from(first == b"1"),
        "SecCookieV0Separator" => settings.cookie_separator = first.first().copied(),
        "SecUploadFileLimit" => settings.upload_file_limit = small(),
        "SecCollectionTimeout" => settings.collection_timeout = small(),
        "SecHttpBlKey" => compiler.http_bl_key = Some(String::from_utf8_lossy(first).into()),
        "SecWebAppId" => settings.web_app_id = first.to_vec(),
        "SecSensorId" => settings.sensor_id = first.to_vec(),
        "SecComponentSignature" => settings.component_signatures.push(String::from_utf8_lossy(first).into_owned()),
        "SecAuditEngine" => settings.audit_engine = audit_engine(&lower),
        "SecAuditLogParts" => settings.audit_parts = first.to_ascii_uppercase(),
        "SecAuditLogFormat" => {
            settings.audit_format = if lower == b"json" { AuditFormat::Json } else { AuditFormat::Native };
        }
        "SecAuditLogRelevantStatus" => {
            settings.audit_relevant_status = compiler.pattern(location, None, first, false).map(Into::into);
        }
        "SecAuditLog" => audit_log(compiler, settings, location, first),
        "SecAuditLogType" if lower != b"serial" => {
            let type_name = String::from_utf8_lossy(first).into_owned();
            let message = format!("audit logs of type {type_name} are not written, only Serial: one file, in order");
            compiler.error(location, None, message);
        }
        "SecParseXmlIntoArgs" => settings.parse_xml_into_args = xml_arguments(&lower),
        "SecUnicodeMapFile" => unicode_map(compiler, settings, location, setting),
        // Inert, refused, or about files that the gateway's configuration places.
        _ => {}
    }
}

fn audit_log(compiler: &mut Compiler<'_>, settings: &mut Settings, location: &Location, name: &[u8]) {
    if name.first() == Some(&b'|') {
        compiler.error(location, None, "an audit log cannot be piped to a program: portcullis starts none");
        return;
    }
    let beside = location.source.path().parent().unwrap_or_else(|| Path::new(""));
    let path = beside.join(String::from_utf8_lossy(name).as_ref());
    settings.audit_log = Some(Arc::new(AuditLog::new(path)));
}

/// Permissions; `None` for `default`, and the parser has seen to the rest.
fn octal(setting: &Setting) -> Option<u32> {
    let digits = std::str::from_utf8(setting.arguments.first()?).ok()?;
    u32::from_str_radix(digits, 8).ok().map(|mode| mode & 0o777)
}

fn unicode_map(compiler: &mut Compiler<'_>, settings: &mut Settings, location: &Location, setting: &Setting) {
    let Some(file) = setting.arguments.first() else { return };
    let name = String::from_utf8_lossy(file).into_owned();
    let code_page = setting.arguments.get(1).and_then(|page| u32::try_from(atoi(page)).ok());
    let text = match compiler.loader.read(location.source.path(), &name) {
        Ok(text) => text,
        Err(problem) => {
            compiler.error(location, None, format!("the Unicode map {name} cannot be read: {problem}"));
            return;
        }
    };
    match UnicodeMap::parse(&text, code_page.unwrap_or(DEFAULT_CODE_PAGE)) {
        Ok(map) => settings.transformations.unicode_map = Some(Arc::new(map)),
        Err(problem) => compiler.error(location, None, format!("the Unicode map {name} cannot be used: {problem}")),
    }
}
