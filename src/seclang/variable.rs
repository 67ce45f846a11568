//! The variables that a rule can look at.

use super::table::{Named, Origin, Support};

/// What may stand behind the colon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// Nothing: one value.
    None,
    /// A key or a regex, or nothing for all.
    Optional,
    /// A key or a regex, always.
    Required,
    /// An XPath expression, or nothing.
    XPath,
}

/// One row.
#[derive(Debug)]
pub struct Variable {
    /// Upper case, as messages print it.
    pub name: &'static str,
    /// Other spellings.
    pub aliases: &'static [&'static str],
    /// Behind the colon.
    pub selection: Selection,
    /// Who knows it.
    pub origin: Origin,
    /// Does it ever have a value?
    pub support: Support,
    /// One sentence.
    pub doc: &'static str,
}

impl Named for Variable {
    fn name(&self) -> &'static str {
        self.name
    }

    fn aliases(&self) -> &'static [&'static str] {
        self.aliases
    }
}

const fn one(name: &'static str, doc: &'static str) -> Variable {
    Variable { name, aliases: &[], selection: Selection::None, origin: Origin::Both, support: Support::Full, doc }
}

const fn many(name: &'static str, doc: &'static str) -> Variable {
    Variable { selection: Selection::Optional, ..one(name, doc) }
}

const fn of(origin: Origin, row: Variable) -> Variable {
    Variable { origin, ..row }
}

const fn inert(reason: &'static str, row: Variable) -> Variable {
    Variable { origin: Origin::V2, support: Support::Inert(reason), ..row }
}

const NO_SCRIPT: &str = "a gateway runs no script file, so it never has a value";
const NO_PERF: &str = "time spent is in portcullis's metrics, so it never has a value in rules";
const NO_STREAM: &str = "portcullis never rewrites bodies, so it never has a value; use the body variables";

/// All variables, in alphabetical order.
pub const VARIABLES: &[Variable] = &[
    many("ARGS", "Arguments from the query string and from the body."),
    one("ARGS_COMBINED_SIZE", "Bytes of all argument names and values, decoded."),
    many("ARGS_GET", "Arguments from the query string."),
    many("ARGS_GET_NAMES", "Names of the arguments from the query string."),
    many("ARGS_NAMES", "Names of all arguments."),
    many("ARGS_POST", "Arguments from the body."),
    many("ARGS_POST_NAMES", "Names of the arguments from the body."),
    one("AUTH_TYPE", "Authentication scheme of the Authorization header."),
    one("DURATION", "Microseconds since the transaction began."),
    many("ENV", "Values set with the action setenv."),
    many("FILES", "File names of uploaded files as the client gave them, keyed by form field."),
    one("FILES_COMBINED_SIZE", "Bytes of all uploaded files."),
    many("FILES_NAMES", "Form fields that carry an uploaded file."),
    many("FILES_SIZES", "Bytes of each uploaded file, keyed by form field."),
    many("FILES_TMPNAMES", "Temporary files of uploads; portcullis inspects uploads in memory and keeps none."),
    many("FILES_TMP_CONTENT", "Content of each uploaded file, keyed by form field."),
    one("FULL_REQUEST", "The request as received: request line, headers and body."),
    one("FULL_REQUEST_LENGTH", "Bytes of FULL_REQUEST."),
    many("GEO", "What the last @geoLookup found: COUNTRY_CODE, COUNTRY_NAME, CITY, LATITUDE and so on."),
    many("GLOBAL", "The persistent collection opened with initcol:global."),
    one("HIGHEST_SEVERITY", "The lowest number (highest severity) of the rules that matched so far; 255 when none."),
    one("INBOUND_DATA_ERROR", "1 when the request body is longer than SecRequestBodyLimit."),
    many("IP", "The persistent collection opened with initcol:ip."),
    one("MATCHED_VAR", "Value that the latest match looked at, after transformations."),
    many("MATCHED_VARS", "Values that matched in the rules of the present chain."),
    many("MATCHED_VARS_NAMES", "Names of the variables that matched in the rules of the present chain."),
    one("MATCHED_VAR_NAME", "Name of the variable that matched last, such as ARGS:q."),
    one("MODSEC_BUILD", "Version of the rule language as a number, as ModSecurity computes it."),
    of(Origin::V3, one("MSC_PCRE_ERROR", "1 when a pattern that needs the backtracker failed.")),
    of(Origin::V3, one("MSC_PCRE_LIMITS_EXCEEDED", "1 when a pattern exhausted the backtracker's budget.")),
    one("MULTIPART_BOUNDARY_QUOTED", "1 when the boundary of a multipart body is quoted."),
    one("MULTIPART_BOUNDARY_WHITESPACE", "1 when the boundary of a multipart body contains white space."),
    one("MULTIPART_CRLF_LF_LINES", "1 when a multipart body mixes CRLF and LF line ends."),
    of(Origin::V2, one("MULTIPART_CRLF_LINE", "1 when a multipart body has a CRLF line end.")),
    one("MULTIPART_DATA_AFTER", "1 when bytes follow the last boundary of a multipart body."),
    one("MULTIPART_DATA_BEFORE", "1 when bytes precede the first boundary of a multipart body."),
    many("MULTIPART_FILENAME", "The filename parameter of the multipart part."),
    one("MULTIPART_FILE_LIMIT_EXCEEDED", "1 when a multipart body has more files than SecUploadFileLimit."),
    one("MULTIPART_HEADER_FOLDING", "1 when a part's header is folded over several lines."),
    one("MULTIPART_INVALID_HEADER_FOLDING", "1 when a part's header is folded with the wrong white space."),
    one("MULTIPART_INVALID_PART", "1 when a part has no name."),
    one("MULTIPART_INVALID_QUOTING", "1 when a part's header quotes in a way that parsers read differently."),
    one("MULTIPART_LF_LINE", "1 when a multipart body has a bare LF line end."),
    Variable {
        aliases: &["MULTIPART_SEMICOLON_MISSING"],
        ..one("MULTIPART_MISSING_SEMICOLON", "1 when a semicolon is missing between a part's parameters.")
    },
    many("MULTIPART_NAME", "The name parameter of the multipart part."),
    many("MULTIPART_PART_HEADERS", "Header lines of the parts of a multipart body, keyed by part name."),
    one("MULTIPART_STRICT_ERROR", "1 when any of the multipart flags that recommended rules check is set."),
    one("MULTIPART_UNMATCHED_BOUNDARY", "1 when a line looks like a boundary and is none; 2 when it may be one."),
    one("OUTBOUND_DATA_ERROR", "1 when the response body is longer than SecResponseBodyLimit."),
    one("PATH_INFO", "The path of the request."),
    inert(NO_PERF, one("PERF_ALL", "Times of the transaction in one line.")),
    inert(NO_PERF, one("PERF_COMBINED", "Time of all phases.")),
    inert(NO_PERF, one("PERF_GC", "Time spent collecting garbage.")),
    inert(NO_PERF, one("PERF_LOGGING", "Time spent logging.")),
    inert(NO_PERF, one("PERF_PHASE1", "Time of phase 1.")),
    inert(NO_PERF, one("PERF_PHASE2", "Time of phase 2.")),
    inert(NO_PERF, one("PERF_PHASE3", "Time of phase 3.")),
    inert(NO_PERF, one("PERF_PHASE4", "Time of phase 4.")),
    inert(NO_PERF, one("PERF_PHASE5", "Time of phase 5.")),
    inert(NO_PERF, many("PERF_RULES", "Time of each slow rule.")),
    inert(NO_PERF, one("PERF_SREAD", "Time spent reading persistent collections.")),
    inert(NO_PERF, one("PERF_SWRITE", "Time spent writing persistent collections.")),
    one("QUERY_STRING", "What follows the question mark, as sent."),
    one("REMOTE_ADDR", "Address of the client."),
    one("REMOTE_HOST", "Name of the client; portcullis asks no DNS, so it is the address."),
    one("REMOTE_PORT", "Port of the client."),
    one("REMOTE_USER", "User name of Basic authentication."),
    one("REQBODY_ERROR", "1 when the request body could not be read as its processor demands."),
    one("REQBODY_ERROR_MSG", "What was wrong with the request body."),
    one("REQBODY_PROCESSOR", "URLENCODED, MULTIPART, XML or JSON."),
    one("REQBODY_PROCESSOR_ERROR", "Old name of REQBODY_ERROR."),
    one("REQBODY_PROCESSOR_ERROR_MSG", "Old name of REQBODY_ERROR_MSG."),
    one("REQUEST_BASENAME", "What follows the last slash of the path."),
    one("REQUEST_BODY", "The raw body, when the processor is URLENCODED or a rule forces it."),
    one("REQUEST_BODY_LENGTH", "Bytes of the request body."),
    many("REQUEST_COOKIES", "Cookies of the request."),
    many("REQUEST_COOKIES_NAMES", "Names of the cookies of the request."),
    one("REQUEST_FILENAME", "The path, as sent."),
    many("REQUEST_HEADERS", "Headers of the request, names in the case in which they were sent."),
    many("REQUEST_HEADERS_NAMES", "Names of the headers of the request."),
    one("REQUEST_LINE", "The request line, as sent."),
    one("REQUEST_METHOD", "The method, as sent."),
    one("REQUEST_PROTOCOL", "The protocol of the request line, such as HTTP/1.1."),
    one("REQUEST_URI", "Path and query string, without scheme, host and fragment."),
    one("REQUEST_URI_RAW", "The target of the request line, as sent."),
    many("RESOURCE", "The persistent collection opened with initcol:resource or setrsc."),
    one("RESPONSE_BODY", "The response body, when SecResponseBodyAccess is on and the type is listed."),
    one("RESPONSE_CONTENT_LENGTH", "Bytes of the response body."),
    one("RESPONSE_CONTENT_TYPE", "Content-Type of the response."),
    many("RESPONSE_HEADERS", "Headers of the response."),
    many("RESPONSE_HEADERS_NAMES", "Names of the headers of the response."),
    one("RESPONSE_PROTOCOL", "Protocol of the response, such as HTTP/1.1."),
    one("RESPONSE_STATUS", "Status code of the response."),
    Variable {
        selection: Selection::Required,
        ..many("RULE", "Metadata of the present rule: id, rev, severity, logdata, msg and so on.")
    },
    inert(NO_SCRIPT, one("SCRIPT_BASENAME", "Name of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_FILENAME", "Path of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_GID", "Group id of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_GROUPNAME", "Group of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_MODE", "Permissions of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_UID", "Owner id of the script file.")),
    inert(NO_SCRIPT, one("SCRIPT_USERNAME", "Owner of the script file.")),
    inert(
        "collections are kept in memory, where deleting cannot fail",
        one("SDBM_DELETE_ERROR", "1 when an expired record could not be deleted."),
    ),
    one("SERVER_ADDR", "Address on which the request was received."),
    one("SERVER_NAME", "Host that the request asked for, without port."),
    one("SERVER_PORT", "Port on which the request was received."),
    many("SESSION", "The persistent collection opened with setsid."),
    one("SESSIONID", "Value given to setsid."),
    of(Origin::V3, one("STATUS", "Status code of the response.")),
    of(Origin::V2, one("STATUS_LINE", "Status line of the response.")),
    inert(NO_STREAM, one("STREAM_INPUT_BODY", "Request body that rules may rewrite.")),
    inert(NO_STREAM, one("STREAM_OUTPUT_BODY", "Response body that rules may rewrite.")),
    one("TIME", "Time of day, HH:MM:SS."),
    one("TIME_DAY", "Day of the month, 1 to 31."),
    one("TIME_EPOCH", "Seconds since 1970."),
    one("TIME_HOUR", "Hour, 0 to 23."),
    one("TIME_MIN", "Minute, 0 to 59."),
    one("TIME_MON", "Month, 0 to 11."),
    one("TIME_SEC", "Second, 0 to 59."),
    one("TIME_WDAY", "Day of the week, 0 is Sunday."),
    one("TIME_YEAR", "Year, four digits."),
    many("TX", "The transaction's own collection: what setvar and capture stored."),
    one("UNIQUE_ID", "Id of the transaction, the same as in the logs."),
    one("URLENCODED_ERROR", "1 when an argument holds a per cent sign without two hexadecimal digits."),
    many("USER", "The persistent collection opened with setuid."),
    of(Origin::V2, one("USERAGENT_IP", "Address of the client; the same as REMOTE_ADDR.")),
    one("USERID", "Value given to setuid."),
    one("WEBAPPID", "Value of SecWebAppId."),
    inert(
        "a gateway has no error log of a web server, so it never has a value",
        many("WEBSERVER_ERROR_LOG", "Error messages of the web server."),
    ),
    Variable {
        selection: Selection::XPath,
        ..many("XML", "The XML body: XML:/* is all text, XML://@* each attribute, or another XPath.")
    },
];
