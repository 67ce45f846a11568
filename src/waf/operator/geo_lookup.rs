//! `@geoLookup`: looks the address up and fills the GEO collection.
//!
//! **Arguments.** None; the database is that of `SecGeoLookupDb`. **Result.** Matches if the database knows the address.
//! Without a database nothing matches. *Difference from ModSecurity:* values are addresses, never host names: looking
//! those up would hold the request for a name server.

use std::fmt::Debug;
use std::net::IpAddr;

/// A database of addresses. The engine does no I/O: whoever loads the rules opens the file.
pub trait GeoDatabase: Send + Sync + Debug {
    /// What is known about the address.
    fn lookup(&self, address: IpAddr) -> Option<GeoRecord>;
}

/// One answer. Fields that the database does not have are empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GeoRecord {
    /// `DE`
    pub country_code: String,
    /// `DEU`
    pub country_code3: String,
    /// `Germany`
    pub country_name: String,
    /// `EU`
    pub continent: String,
    /// Region or its code.
    pub region: String,
    /// City.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// US metropolitan area.
    pub dma_code: u32,
    /// Telephone area.
    pub area_code: u32,
}

impl GeoRecord {
    /// Every member of GEO, as ModSecurity 2 names and spells it.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 11] {
        [
            ("COUNTRY_CODE", self.country_code.clone()),
            ("COUNTRY_CODE3", self.country_code3.clone()),
            ("COUNTRY_NAME", self.country_name.clone()),
            ("COUNTRY_CONTINENT", self.continent.clone()),
            ("REGION", self.region.clone()),
            ("CITY", self.city.clone()),
            ("POSTAL_CODE", self.postal_code.clone()),
            ("LATITUDE", format!("{:.6}", self.latitude)),
            ("LONGITUDE", format!("{:.6}", self.longitude)),
            ("DMA_CODE", self.dma_code.to_string()),
            ("AREA_CODE", self.area_code.to_string()),
        ]
    }
}

/// The record of the address that `value` spells.
pub(super) fn lookup(database: Option<&dyn GeoDatabase>, value: &[u8]) -> Option<GeoRecord> {
    database?.lookup(std::str::from_utf8(value).ok()?.parse().ok()?)
}
