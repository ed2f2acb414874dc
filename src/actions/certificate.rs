//! X.509 certificates: who issued whom, how long they are valid, and whether a key belongs to one.
//!
//! Pure: no network and no clock. Issuers are compared by signature, never by name alone.

use crate::digest;
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// Subject, such as `O=lab, CN=Lab Root CA`.
    pub subject: String,
    /// Subject CN; empty when there is none.
    pub common_name: String,
    /// Subject O; empty when there is none.
    pub organization: String,
    /// Name of the issuer.
    pub issuer: String,
    /// Serial number, hexadecimal with colons, as Vault writes it.
    pub serial: String,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Whether the certificate may sign others.
    pub is_ca: bool,
    /// How many CAs may follow below this one in a chain; `None`: any number.
    pub path_length: Option<u32>,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: String,
    /// URIs among the subject alternative names, such as a workload's SPIFFE identity.
    pub uris: Vec<String>,
    /// DNS names among the subject alternative names: lower case, sorted.
    pub dns_names: Vec<String>,
    /// Type of the key as Vault names it: `ec` or `rsa`; empty for other types.
    pub key_type: &'static str,
    /// Size of the key, bits; 0 for other types than `ec` and `rsa`.
    pub key_bits: usize,
}

impl Certificate {
    /// All certificates of a PEM text, in their order.
    ///
    /// # Errors
    /// When the text has none, or one cannot be parsed.
    pub fn parse_all(pem: &str) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let der = der.map_err(|e| format!("the PEM cannot be read: {e}"))?;
            all.push(Self::from_der(&der)?);
        }
        if all.is_empty() { Err("there is no PEM certificate in it".to_owned()) } else { Ok(all) }
    }

    /// The first certificate of a PEM text.
    ///
    /// # Errors
    /// When the text has none, or one cannot be parsed.
    pub fn parse(pem: &str) -> Result<Self, String> {
        Ok(Self::parse_all(pem)?.swap_remove(0))
    }

    fn from_der(der: &[u8]) -> Result<Self, String> {
        let (_, x509) = X509Certificate::from_der(der).map_err(|e| format!("the certificate cannot be read: {e}"))?;
        let time = |seconds: i64| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let constraints = x509.basic_constraints().ok().flatten();
        let text = |value: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            value.and_then(|v| v.as_str().ok()).unwrap_or_default().to_owned()
        };
        let names = x509.subject_alternative_name().ok().flatten();
        let (mut uris, mut dns_names) = (Vec::new(), Vec::new());
        for name in names.iter().flat_map(|n| &n.value.general_names) {
            match name {
                GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => dns_names.push(name.to_ascii_lowercase()),
                _ => {}
            }
        }
        dns_names.sort_unstable();
        let (key_type, key_bits) = match x509.public_key().parsed() {
            // The library rounds the size of P-521 up to whole bytes.
            Ok(PublicKey::EC(point)) => ("ec", point.key_size().min(521)),
            Ok(PublicKey::RSA(key)) => ("rsa", key.key_size()),
            _ => ("", 0),
        };
        Ok(Self {
            uris,
            dns_names,
            key_type,
            key_bits,
            subject: x509.subject().to_string(),
            common_name: text(x509.subject().iter_common_name().next()),
            organization: text(x509.subject().iter_organization().next()),
            issuer: x509.issuer().to_string(),
            serial: x509.raw_serial_as_string(),
            not_before: time(x509.validity().not_before.timestamp()),
            not_after: time(x509.validity().not_after.timestamp()),
            is_ca: constraints.as_ref().is_some_and(|c| c.value.ca),
            path_length: constraints.and_then(|c| c.value.path_len_constraint),
            fingerprint: digest::sha256(der),
            der: der.to_vec(),
        })
    }

    /// Whether `ca` is a CA with the issuer's name, and its key signed this certificate.
    pub fn is_issued_by(&self, ca: &Self) -> bool {
        let (Ok((_, mine)), Ok((_, theirs))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&ca.der))
        else {
            return false;
        };
        ca.is_ca
            && mine.issuer().as_raw() == theirs.subject().as_raw()
            && mine.verify_signature(Some(theirs.public_key())).is_ok()
    }

    /// Whether both are certificates of one CA: they have the same subject and key, so signatures of either verify
    /// against both.
    pub fn is_same_ca(&self, other: &Self) -> bool {
        let (Ok((_, mine)), Ok((_, theirs))) =
            (X509Certificate::from_der(&self.der), X509Certificate::from_der(&other.der))
        else {
            return false;
        };
        mine.subject().as_raw() == theirs.subject().as_raw() && mine.public_key().raw == theirs.public_key().raw
    }

    pub fn lifetime(&self) -> SignedDuration {
        self.not_after.duration_since(self.not_before)
    }

    /// Whether the certificate signed itself.
    pub fn is_root(&self) -> bool {
        self.is_issued_by(self)
    }

    /// Whether `key` (PEM) is the private key of this certificate.
    ///
    /// # Errors
    /// Why the key cannot be parsed. The message never contains the key.
    pub fn has_key(&self, key: &Secret) -> Result<bool, String> {
        let unreadable = |_| "the private key cannot be read".to_owned();
        let der = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(unreadable)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&der)
            .map_err(|_| "the private key is of an unknown type".to_owned())?;
        let public = key.public_key().ok_or("the private key does not tell its public key")?;
        let (_, x509) = X509Certificate::from_der(&self.der).map_err(|e| e.to_string())?;
        Ok(public.as_ref() == x509.public_key().raw)
    }

    /// The start of the fingerprint, short enough for one line of a diff.
    pub fn short_fingerprint(&self) -> &str {
        self.fingerprint.get(..16).unwrap_or(&self.fingerprint)
    }

    /// The last day of the validity.
    pub fn until(&self) -> String {
        self.not_after.strftime("%Y-%m-%d").to_string()
    }
}

/// The chain from `first` up to a root, both included, through certificates of `pool`.
///
/// If a CA was renewed with its key, `pool` may hold several certificates of this CA. A self-signed one is preferred,
/// then the one that is valid longest.
///
/// # Errors
/// Names the certificate whose issuer is not in `pool`.
pub fn chain_to_root(first: &Certificate, pool: &[Certificate]) -> Result<Vec<Certificate>, String> {
    let mut chain = vec![first.clone()];
    loop {
        let last = &chain[chain.len() - 1];
        if last.is_root() {
            return Ok(chain);
        }
        let above = pool.iter().filter(|c| !chain.contains(c) && last.is_issued_by(c));
        match above.max_by_key(|c| (c.is_root(), c.not_after)).cloned() {
            Some(next) => chain.push(next),
            None => {
                return Err(format!("no certificate here has signed {}; its issuer is {}", last.subject, last.issuer));
            }
        }
    }
}

/// How many more CAs may follow below the first certificate of `chain`, by the path lengths of the whole chain; `None`:
/// any number. Below zero when the chain itself breaks one of its limits.
pub fn room_below(chain: &[Certificate]) -> Option<i64> {
    let limits = chain.iter().zip(0i64..).filter_map(|(ca, above)| Some(i64::from(ca.path_length?) - above));
    limits.min()
}

#[cfg(test)]
pub mod testing {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

    use super::*;

    /// A day of 2026.
    pub fn day(text: &str) -> Timestamp {
        format!("{text}T12:00:00Z").parse().unwrap()
    }

    /// The time at which all tests happen: noon of 1 June 2026.
    pub fn now() -> Timestamp {
        day("2026-06-01")
    }

    /// A CA with its key.
    pub type Ca = CertifiedIssuer<'static, KeyPair>;

    /// Parameters of a CA that is valid from 2026-01-01 to `until`.
    pub fn ca_params(name: &str, until: &str, path_length: Option<u8>) -> CertificateParams {
        let mut params = leaf_params(name, until);
        params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    /// Parameters of a certificate that is no CA, valid from 2026-01-01 to `until`.
    pub fn leaf_params(name: &str, until: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let date: jiff::civil::Date = until.parse().unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after =
            rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
        params
    }

    /// A root CA, valid until 2036.
    pub fn root(name: &str) -> Ca {
        CertifiedIssuer::self_signed(ca_params(name, "2036-01-01", None), KeyPair::generate().unwrap()).unwrap()
    }

    /// A new certificate for the key of `root`.
    pub fn renewed(root: &Ca, name: &str, until: &str) -> Ca {
        let key = KeyPair::from_pem(&root.key().serialize_pem()).unwrap();
        CertifiedIssuer::self_signed(ca_params(name, until, None), key).unwrap()
    }

    /// A CA that `issuer` signed.
    pub fn below(issuer: &Ca, name: &str, until: &str, path_length: Option<u8>) -> Ca {
        CertifiedIssuer::signed_by(ca_params(name, until, path_length), KeyPair::generate().unwrap(), issuer).unwrap()
    }

    /// Vault's answer about the default issuer of a PKI mount.
    pub fn issuer_fact(chain: &[&Ca]) -> crate::connect::Fact {
        let pems: Vec<String> = chain.iter().map(|ca| ca.pem()).collect();
        let data = serde_json::json!({ "certificate": pems[0], "ca_chain": pems });
        let serde_json::Value::Object(map) = data else { unreachable!() };
        crate::connect::Fact::Vault(crate::connect::vault::Fact::Found {
            data: crate::connect::vault::Data(map),
            at: now(),
        })
    }

    /// Vault's answer about a path where nothing is.
    pub fn absent_fact() -> crate::connect::Fact {
        crate::connect::Fact::Vault(crate::connect::vault::Fact::Absent { why: "nothing there".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{below, root};
    use super::*;

    fn parse(ca: &testing::Ca) -> Certificate {
        Certificate::parse(&ca.pem()).unwrap()
    }

    #[test]
    fn a_chain_is_built_whatever_the_order() {
        let (r, other) = (root("root"), root("other"));
        let i = below(&r, "intermediate", "2030-01-01", Some(1));
        let l = below(&i, "istio", "2027-01-01", Some(0));
        let chain = chain_to_root(&parse(&l), &[parse(&other), parse(&r), parse(&i)]).unwrap();
        let names: Vec<_> = chain.iter().map(|c| c.common_name.as_str()).collect();
        assert_eq!(names, ["istio", "intermediate", "root"]);
        assert_eq!(room_below(&chain), Some(0));
        assert_eq!(room_below(&chain[1..]), Some(1));
        assert_eq!(room_below(&chain[2..]), None);
    }

    #[test]
    fn a_ca_of_the_same_name_is_not_the_issuer() {
        let (real, namesake) = (root("root"), root("root"));
        let i = parse(&below(&real, "intermediate", "2030-01-01", None));
        assert!(i.is_issued_by(&parse(&real)));
        assert!(!i.is_issued_by(&parse(&namesake)));
        let error = chain_to_root(&i, &[parse(&namesake)]).unwrap_err();
        assert_eq!(error, "no certificate here has signed CN=intermediate; its issuer is CN=root");
    }

    #[test]
    fn a_ca_is_its_subject_and_key_and_the_way_up_leads_through_the_certificate_that_lives_longest() {
        let old = root("root");
        let (new, namesake) = (testing::renewed(&old, "root", "2046-01-01"), root("root"));
        assert!(parse(&old).is_same_ca(&parse(&new)) && parse(&old) != parse(&new));
        assert!(!parse(&old).is_same_ca(&parse(&namesake)));
        assert!(!parse(&old).is_same_ca(&parse(&testing::renewed(&old, "another", "2046-01-01"))));
        let i = parse(&below(&old, "intermediate", "2030-01-01", Some(1)));
        for pool in [[&old, &new], [&new, &old]] {
            let chain = chain_to_root(&i, &pool.map(parse)).unwrap();
            assert_eq!(chain[1].until(), "2046-01-01");
        }
    }

    #[test]
    fn a_root_goes_before_the_certificate_that_another_ca_signed_for_it() {
        let (own, other) = (root("root"), root("other"));
        let key = rcgen::KeyPair::from_pem(&own.key().serialize_pem()).unwrap();
        let crossed = rcgen::CertifiedIssuer::signed_by(testing::ca_params("root", "2046-01-01", None), key, &other);
        let pool = [parse(&crossed.unwrap()), parse(&own)];
        let chain = chain_to_root(&parse(&below(&own, "intermediate", "2030-01-01", None)), &pool).unwrap();
        assert_eq!((chain.len(), chain[1].until().as_str()), (2, "2036-01-01"));
    }

    #[test]
    fn keys_and_names_are_told_as_vault_calls_them() {
        let mut params = testing::ca_params("ca", "2030-01-01", None);
        params.subject_alt_names =
            ["B.example", "a.example"].map(|n| rcgen::SanType::DnsName(n.try_into().unwrap())).to_vec();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let ca = parse(&rcgen::CertifiedIssuer::self_signed(params, key).unwrap());
        assert_eq!((ca.key_type, ca.key_bits), ("ec", 384));
        assert_eq!(ca.dns_names, ["a.example", "b.example"]);
    }

    #[test]
    fn a_key_belongs_to_one_certificate() {
        let (a, b) = (root("a"), root("b"));
        let key = Secret::new(a.key().serialize_pem());
        assert_eq!(parse(&a).has_key(&key), Ok(true));
        assert_eq!(parse(&b).has_key(&key), Ok(false));
        assert_eq!(parse(&a).has_key(&Secret::new("rubbish")), Err("the private key cannot be read".into()));
    }

    #[test]
    fn text_without_a_certificate_is_an_error() {
        assert!(Certificate::parse_all("").is_err());
        assert!(Certificate::parse_all("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    }
}
