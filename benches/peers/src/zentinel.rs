//! zentinel-modsec, in process.

use std::path::Path;

use portcullis::authoring::bench::Decision;
use zentinel_modsec::{ModSecurity, Transaction};

use crate::set::{Request, Text};
use crate::{Engine, Result, busy};

pub(crate) struct Zentinel<'r> {
    engine: ModSecurity,
    requests: Vec<(Text, &'r [u8])>,
}

impl<'r> Zentinel<'r> {
    pub(crate) fn new(rules: &Path, requests: &'r [Request]) -> Result<Self> {
        let engine = ModSecurity::from_file(&rules.to_string_lossy()).map_err(|error| error.to_string())?;
        println!("zentinel-modsec {}: {} rules", zentinel_modsec::VERSION, engine.rule_count());
        let requests = requests.iter().map(|request| (request.text(), request.subject.body())).collect();
        Ok(Self { engine, requests })
    }
}

impl Engine for Zentinel<'_> {
    fn pass(&mut self) -> Result<Vec<(u64, Decision)>> {
        let mut answers = Vec::with_capacity(self.requests.len());
        for (text, body) in &self.requests {
            let before = busy();
            let mut transaction = self.engine.new_transaction();
            converse(&mut transaction, text, body).map_err(|error| error.to_string())?;
            transaction.process_logging().map_err(|error| error.to_string())?;
            let is_blocked = transaction.has_intervention();
            drop(transaction);
            answers.push((busy() - before, if is_blocked { Decision::Blocked } else { Decision::Passes }));
        }
        Ok(answers)
    }
}

fn converse(transaction: &mut Transaction, text: &Text, body: &[u8]) -> zentinel_modsec::Result<()> {
    transaction.set_client_addr("127.0.0.1", 40_000);
    transaction.set_server_addr("127.0.0.1", 443);
    transaction.process_uri(&text.target, &text.method, &format!("HTTP/{}", text.version))?;
    for (name, value) in &text.headers {
        transaction.add_request_header(name, value)?;
    }
    transaction.process_request_headers()?;
    if transaction.has_intervention() {
        return Ok(());
    }
    transaction.append_request_body(body)?;
    transaction.process_request_body()?;
    if transaction.has_intervention() {
        return Ok(());
    }
    for (name, value) in &text.response_headers {
        transaction.add_response_header(name, value)?;
    }
    transaction.process_response_headers()?;
    if transaction.has_intervention() {
        return Ok(());
    }
    transaction.process_response_body()
}
