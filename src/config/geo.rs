//! The database of `@geoLookup`: `SecGeoLookupDb FILE` names a MaxMind DB (`.mmdb`) of countries or cities.
//!
//! Read into memory as a whole when rules are compiled; a look-up touches a few cache lines and decodes one record.
//! Fields that the database lacks are empty; MaxMind DBs know no three-letter country codes and no telephone areas.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use maxminddb::{MaxMindDbError, Reader, geoip2};

use crate::diagnostics::{Diagnostic, Location};
use crate::seclang::ast::{DirectiveKind, Ruleset};
use crate::waf::operator::{GeoDatabase, GeoRecord};

/// An open database.
#[derive(Debug)]
pub(crate) struct MaxMind {
    reader: Reader<Vec<u8>>,
}

impl MaxMind {
    pub(crate) fn open(path: &Path) -> Result<Self, MaxMindDbError> {
        Reader::open_readfile(path).map(|reader| Self { reader })
    }
}

impl GeoDatabase for MaxMind {
    fn lookup(&self, address: IpAddr) -> Option<GeoRecord> {
        // A damaged record is treated as none: the rule that asked must not fail for it.
        let found = self.reader.lookup(address).ok()?;
        let city: geoip2::City<'_> = found.decode().ok()??;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        Some(GeoRecord {
            country_code: text(city.country.iso_code),
            country_code3: String::new(),
            country_name: text(city.country.names.english),
            continent: text(city.continent.code),
            region: text(city.subdivisions.first().and_then(|region| region.iso_code)),
            city: text(city.city.names.english),
            postal_code: text(city.postal.code),
            latitude: city.location.latitude.unwrap_or_default(),
            longitude: city.location.longitude.unwrap_or_default(),
            dma_code: city.location.metro_code.map_or(0, u32::from),
            area_code: 0,
        })
    }
}

/// The file that the last `SecGeoLookupDb` names, and where that stands.
pub(crate) fn named(ruleset: &Ruleset) -> Option<(PathBuf, Location)> {
    let directive = ruleset.directives.iter().rev().find(
        |directive| matches!(&directive.kind, DirectiveKind::Setting(setting) if setting.name == "SecGeoLookupDb"),
    )?;
    let DirectiveKind::Setting(setting) = &directive.kind else { return None };
    let name = String::from_utf8_lossy(setting.arguments.first()?).into_owned();
    let beside = directive.location.source.path().parent().unwrap_or_else(|| Path::new(""));
    Some((beside.join(name), directive.location.clone()))
}

/// Opens it.
pub(crate) fn open(path: &Path, location: Location) -> Result<Arc<dyn GeoDatabase>, Diagnostic> {
    match MaxMind::open(path) {
        Ok(database) => Ok(Arc::new(database)),
        Err(problem) => Err(Diagnostic {
            advice: Some("SecGeoLookupDb names a MaxMind DB file (.mmdb); the older .dat files are not read".into()),
            ..Diagnostic::error(location, format!("the database {} cannot be opened: {problem}", path.display()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes values of the MaxMind DB format.
    #[derive(Default)]
    struct Writer(Vec<u8>);

    impl Writer {
        fn control(&mut self, kind: u8, size: usize) {
            assert!(size < 29);
            if kind < 8 {
                self.0.push((kind << 5) | size as u8);
            } else {
                self.0.extend([size as u8, kind - 7]);
            }
        }
        fn text(mut self, text: &str) -> Self {
            self.control(2, text.len());
            self.0.extend_from_slice(text.as_bytes());
            self
        }
        fn number(mut self, kind: u8, value: u64) -> Self {
            let bytes = value.to_be_bytes();
            let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(8);
            self.control(kind, 8 - start);
            self.0.extend_from_slice(&bytes[start..]);
            self
        }
        fn double(mut self, value: f64) -> Self {
            self.control(3, 8);
            self.0.extend(value.to_be_bytes());
            self
        }
        fn map(mut self, entries: usize) -> Self {
            self.control(7, entries);
            self
        }
        fn array(mut self, entries: usize) -> Self {
            self.control(11, entries);
            self
        }
    }

    /// One node: addresses below 128.0.0.0 have a record, the others none.
    pub(super) fn database() -> Vec<u8> {
        let record = Writer::default().map(5);
        let record =
            record.text("country").map(2).text("iso_code").text("DE").text("names").map(1).text("en").text("Germany");
        let record = record.text("continent").map(1).text("code").text("EU");
        let record = record.text("city").map(1).text("names").map(1).text("en").text("Berlin");
        let record = record.text("location").map(1).text("latitude").double(52.5);
        let record = record.text("subdivisions").array(1).map(1).text("iso_code").text("BE");
        let metadata = Writer::default().map(9);
        let metadata = metadata.text("node_count").number(6, 1).text("record_size").number(5, 24);
        let metadata = metadata.text("ip_version").number(5, 4).text("database_type").text("GeoLite2-City");
        let metadata = metadata.text("languages").array(1).text("en");
        let metadata = metadata.text("binary_format_major_version").number(5, 2);
        let metadata = metadata.text("binary_format_minor_version").number(5, 0);
        let metadata = metadata.text("build_epoch").number(9, 1).text("description").map(1).text("en").text("test");
        // Left: node count + 16 + offset of the record; right: node count, which is nothing.
        let mut out = vec![0, 0, 17, 0, 0, 1];
        out.extend([0; 16]);
        out.extend(record.0);
        out.extend(b"\xAB\xCD\xEFMaxMind.com");
        out.extend(metadata.0);
        out
    }

    #[test]
    fn records_become_variables() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("city.mmdb");
        std::fs::write(&path, database()).unwrap();
        let database = MaxMind::open(&path).unwrap();
        let record = database.lookup("10.1.2.3".parse().unwrap()).unwrap();
        assert_eq!((record.country_code.as_str(), record.country_name.as_str()), ("DE", "Germany"));
        assert_eq!((record.continent.as_str(), record.region.as_str(), record.city.as_str()), ("EU", "BE", "Berlin"));
        assert!((record.latitude - 52.5).abs() < f64::EPSILON);
        assert_eq!(database.lookup("200.1.2.3".parse().unwrap()), None);
        assert_eq!(database.lookup("::1".parse().unwrap()), None);
    }

    #[test]
    fn rules_find_it_beside_them() {
        use crate::diagnostics::Source;
        use crate::seclang::{parse, source::FileLoader};
        use crate::waf::{EngineOptions, Program};

        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("city.mmdb"), database()).unwrap();
        let text = "SecGeoLookupDb old.mmdb\nSecGeoLookupDb city.mmdb\nSecRule REMOTE_ADDR \"@geoLookup\" \"id:1,phase:1,pass\"\n";
        let (ruleset, _) = parse(&Source::new(directory.path().join("rules.conf"), text), &FileLoader);
        let (path, location) = named(&ruleset).unwrap();
        assert_eq!((path.file_name().unwrap(), location.position.line), ("city.mmdb".as_ref(), 2));
        let geo = Some(open(&path, location.clone()).unwrap());
        let options = EngineOptions { geo, ..EngineOptions::default() };
        let (_, warnings) = Program::compile(&ruleset, &FileLoader, &options).unwrap();
        assert!(!warnings.to_string().contains("no database"), "{warnings}");
        let missing = open(&directory.path().join("nothing.mmdb"), location).unwrap_err();
        assert!(missing.message.contains("nothing.mmdb cannot be opened"), "{}", missing.message);
    }
}
