//! Ranges in names: `pi-[1:20]`, `rack[1:2]-pi-[01:08]`.

/// Maximum number of names in a range, and of hosts in all. More are taken for a typo.
pub(super) const MAX_NAMES: usize = 10_000;
/// Maximum length of a host name or address, in bytes.
const MAX_NAME_BYTES: usize = 253;

/// Expands the ranges in a name; a name without ranges is returned itself. Leading zeros are kept.
///
/// # Errors
/// What is wrong with the range, as part of a sentence.
pub fn expand_range(name: &str) -> Result<Vec<String>, String> {
    if name.len() > MAX_NAME_BYTES {
        let start: String = name.chars().take(30).collect();
        return Err(format!("`{start}…` is longer than {MAX_NAME_BYTES} bytes"));
    }
    let Some((before, rest)) = name.split_once('[') else {
        return if name.contains(']') {
            Err(format!("`{name}` has a `]` without a `[`"))
        } else {
            Ok(vec![name.to_owned()])
        };
    };
    let (range, after) = rest.split_once(']').ok_or_else(|| format!("`{name}` has a `[` without a `]`"))?;
    let not_a_range = || format!("`[{range}]` is not a range such as `[1:20]` or `[01:20]`");
    let (first, last) = range.split_once([':', '-']).ok_or_else(not_a_range)?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (Some(low), Some(high)) = (number(first), number(last)) else { return Err(not_a_range()) };
    if low > high {
        return Err(format!("`[{range}]` begins after its end"));
    }
    let tails = expand_range(after)?;
    let count = usize::try_from(high - low).unwrap_or(MAX_NAMES).saturating_add(1).saturating_mul(tails.len());
    if count > MAX_NAMES {
        return Err(format!("`{name}` stands for {count} names, more than {MAX_NAMES}"));
    }
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Ok((low..=high).flat_map(|n| tails.iter().map(move |tail| format!("{before}{n:0width$}{tail}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_keep_their_zeros() {
        assert_eq!(expand_range("pi").unwrap(), ["pi"]);
        assert_eq!(expand_range("pi-[8:10]").unwrap(), ["pi-8", "pi-9", "pi-10"]);
        assert_eq!(expand_range("pi-[08:10].lan").unwrap(), ["pi-08.lan", "pi-09.lan", "pi-10.lan"]);
        assert_eq!(expand_range("r[1:2]p[1:2]").unwrap(), ["r1p1", "r1p2", "r2p1", "r2p2"]);
    }

    #[test]
    fn invalid_ranges_are_refused() {
        let (zeros, many) = (format!("a[{}:1]", "0".repeat(70_000)), "[1:1]".repeat(20_000));
        for text in [&zeros, &many] {
            assert!(expand_range(text).unwrap_err().ends_with("is longer than 253 bytes"));
        }
        for text in ["pi-[1:", "pi-1]", "pi-[]", "pi-[a:b]", "pi-[3:1]", "pi-[0:99999]", "p[1:200]q[1:200]", "p[+1:2]"]
        {
            assert!(expand_range(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_range_has_one_name_for_each_number(low in 0..500u32, more in 0..500u32) {
            let names = expand_range(&format!("a[{low}:{}]", low + more)).unwrap();
            proptest::prop_assert_eq!(names.len(), more as usize + 1);
            proptest::prop_assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
        }

        #[test]
        fn any_text_is_a_name_or_refused(text in "[a-z\\[\\]:0-9-]{0,12}") {
            let _either = expand_range(&text);
        }
    }
}
