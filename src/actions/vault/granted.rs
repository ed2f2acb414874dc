//! Compares what Vault issued with the request: Vault shortens lifetimes to its own limits without an error.

use crate::actions::certificate::Certificate;
use crate::actions::lifetime::Lifetime;
use crate::event::Problem;

/// Differences up to this, seconds, are no shortening: signing takes a moment.
const TOLERANCE_SECONDS: i64 = 60;

/// Checks that a certificate is valid as long as was asked of `mount`. Both of its ends come from Vault's clock.
///
/// # Errors
/// The lifetime that Vault gave instead.
pub fn check_lifetime(certificate: &Certificate, asked: Lifetime, mount: &str) -> Result<(), Problem> {
    let given = certificate.lifetime().as_secs();
    if given.saturating_add(TOLERANCE_SECONDS) >= asked.as_seconds().cast_signed() {
        return Ok(());
    }
    let given = Lifetime::hours(u64::try_from(given).unwrap_or_default() / 3600);
    let hours = asked.as_seconds().div_ceil(3600);
    let message = format!("Vault's {mount} signed {} for {given} instead of {asked}", certificate.subject);
    Err(Problem::new(message).hint(format!(
        "raise the limit of the mount: vault secrets tune -max-lease-ttl={hours}h {mount} \
         (max_lease_ttl of vault.secrets_engine; 768h where nobody set it); or lower ttl"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::certificate::testing::root;

    #[test]
    fn a_lifetime_that_was_cut_down_is_told_with_what_to_do() {
        // From 2026 to 2036.
        let certificate = Certificate::parse(&root("root").pem()).unwrap();
        let given = u64::try_from(certificate.lifetime().as_secs()).unwrap();
        assert!(check_lifetime(&certificate, Lifetime::seconds(given), "pki").is_ok());
        assert!(check_lifetime(&certificate, Lifetime::seconds(given + 30), "pki").is_ok());
        let problem = check_lifetime(&certificate, Lifetime::seconds(given + 3600), "pki").unwrap_err();
        assert!(problem.message.starts_with("Vault's pki signed CN=root for "), "{}", problem.message);
        let hint = problem.hint.unwrap();
        assert!(hint.contains(&format!("-max-lease-ttl={}h pki", given / 3600 + 1)), "{hint}");
    }
}
