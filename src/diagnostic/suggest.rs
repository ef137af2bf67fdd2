//! "Did you mean": the nearest of the names that would have been right.
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// The name nearest to `written`, if one is near enough to be a slip.
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written_lower = written.to_lowercase();
    let allowed = (written.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_lowercase();
            let same_letters =
                lower.replace(['-', '_'], "") == written_lower.replace(['-', '_'], "");
            let distance = strsim::damerau_levenshtein(&written_lower, &lower);
            (if same_letters { 0 } else { distance }, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

/// ``did you mean `image`?``, if a name is near.
pub fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(written, candidates).map(|name| format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_slips_and_nothing_far_away() {
        let keys = ["image", "imports", "mem_limit", "depends_on"];
        assert_eq!(nearest("imagee", keys), Some("image"));
        assert_eq!(nearest("depends-on", keys), Some("depends_on"));
        assert_eq!(nearest("dependsOn", keys), Some("depends_on"));
        assert_eq!(nearest("zebra", keys), None);
    }
}
