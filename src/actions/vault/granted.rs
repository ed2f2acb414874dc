//! What Vault gave, compared with what it was asked for: it cuts a lifetime down to its own limits without an error.

use crate::actions::certificate::Certificate;
use crate::actions::lifetime::Lifetime;
use crate::event::Problem;

/// Less than this is no cut: seconds that pass while Vault signs.
const TOLERANCE_SECONDS: i64 = 60;

/// That a certificate lives as long as Vault's `mount` was asked for. Both ends are of Vault's clock.
///
/// # Errors
/// How long it lives instead.
pub fn whole_lifetime(certificate: &Certificate, asked: Lifetime, mount: &str) -> Result<(), Problem> {
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
        assert!(whole_lifetime(&certificate, Lifetime::seconds(given), "pki").is_ok());
        assert!(whole_lifetime(&certificate, Lifetime::seconds(given + 30), "pki").is_ok());
        let problem = whole_lifetime(&certificate, Lifetime::seconds(given + 3600), "pki").unwrap_err();
        assert!(problem.message.starts_with("Vault's pki signed CN=root for "), "{}", problem.message);
        let hint = problem.hint.unwrap();
        assert!(hint.contains(&format!("-max-lease-ttl={}h pki", given / 3600 + 1)), "{hint}");
    }
}
