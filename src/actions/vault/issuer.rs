//! The default issuer of a PKI mount and its chain up to the root.

use jiff::Timestamp;

use super::path;
use crate::actions::Verdict;
use crate::actions::certificate::{Certificate, chain_to_root};
use crate::connect::{Fact, Probe, vault};
use crate::event::Problem;

/// The default issuer of a PKI mount.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// From the issuer up to the root; both included.
    pub chain: Vec<Certificate>,
    /// PEM of the certificates in `chain`.
    pub pems: Vec<String>,
    /// Time of Vault's answer.
    pub at: Timestamp,
}

impl Issuer {
    pub fn probe(mount: &str) -> Probe {
        Probe::Vault(vault::Probe::Read { path: format!("{}/issuer/default/json", path(mount)) })
    }

    /// The issuer in a fact. `above` is the fact about the mount with the root, for mounts whose own chain does not
    /// include it.
    ///
    /// # Errors
    /// The verdict to return: there is no issuer, or its chain does not end in a root.
    pub fn of(mount: &str, fact: &Fact, above: Option<&Fact>) -> Result<Self, Verdict> {
        let (mut pems, at) = certificates(fact).ok_or_else(|| no_issuer(mount, fact))?;
        if let Some((more, _)) = above.and_then(certificates) {
            pems.extend(more);
        }
        let blocked = |message: String| {
            Verdict::Blocked(Problem::new(message).hint(format!(
                "give the mount its issuer's certificate as well: vault write {mount}/issuers/import/cert pem_bundle=@root.pem"
            )))
        };
        let mut pool = Vec::new();
        for pem in &pems {
            let certificate = Certificate::parse(pem)
                .map_err(|e| blocked(format!("the CA of Vault's {mount} cannot be read: {e}")))?;
            pool.push(certificate);
        }
        let chain = chain_to_root(&pool[0], &pool)
            .map_err(|e| blocked(format!("the CA of Vault's {mount} leads to no root: {e}")))?;
        let position = |c: &Certificate| pool.iter().position(|p| p == c);
        let pems = chain.iter().filter_map(|c| Some(pems[position(c)?].trim().to_owned() + "\n")).collect();
        Ok(Self { chain, pems, at })
    }

    pub fn certificate(&self) -> &Certificate {
        &self.chain[0]
    }

    /// The root of the chain: the issuer itself if it is a root.
    pub fn root(&self) -> &Certificate {
        &self.chain[self.chain.len() - 1]
    }

    pub fn root_pem(&self) -> &str {
        &self.pems[self.pems.len() - 1]
    }
}

fn no_issuer(mount: &str, fact: &Fact) -> Verdict {
    let why = match fact {
        Fact::Vault(vault::Fact::Absent { why }) => format!(" ({why})"),
        _ => String::new(),
    };
    Verdict::Blocked(Problem::new(format!("Vault has no CA at {mount}{why}")).hint(format!(
        "an intermediate is made by the actions vault.secrets_engine and vault.intermediate, \
         a root by: vault write {mount}/root/generate/internal common_name=..."
    )))
}

/// PEM of a mount's certificates, the issuer first and never empty, with the time of the answer.
fn certificates(fact: &Fact) -> Option<(Vec<String>, Timestamp)> {
    let Fact::Vault(vault::Fact::Found { data, at }) = fact else { return None };
    let mut pems = vec![data.text("certificate")?.to_owned()];
    pems.extend(data.texts("ca_chain").into_iter().map(str::to_owned));
    Some((pems, *at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::certificate::testing::{absent_fact, below, issuer_fact, root};

    #[test]
    fn the_chain_of_another_mount_completes_one() {
        let r = root("root");
        let i = below(&r, "intermediate", "2030-01-01", None);
        let alone = issuer_fact(&[&i]);
        let Err(Verdict::Blocked(problem)) = Issuer::of("pki_int", &alone, None) else { panic!("no root is known") };
        assert!(problem.message.contains("its issuer is CN=root"), "{}", problem.message);
        let issuer = Issuer::of("pki_int", &alone, Some(&issuer_fact(&[&r]))).unwrap();
        assert_eq!(issuer.root().common_name, "root");
        assert_eq!(issuer.pems, [i.pem(), r.pem()].map(|p| p.replace("\r\n", "\n")));
    }

    #[test]
    fn nothing_there_is_said_in_vaults_words() {
        let Err(Verdict::Blocked(problem)) = Issuer::of("pki", &absent_fact(), None) else { panic!("there is none") };
        assert_eq!(problem.message, "Vault has no CA at pki (nothing there)");
    }
}
