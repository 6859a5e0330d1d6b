//! The page `docs/reference.md`: every key, made from the tables that the readers are tested against.

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prunella_settings::reference::table;

    use crate::config::FileKind;

    #[test]
    fn reference_page_is_as_the_tables_say() {
        let mut page = String::from(
            "# Every key\n\nMade by `UPDATE_EXPECT=1 cargo test --workspace --lib reference_page`; [configuration](configuration.md) explains \
             them.\n\n`#` stands for the position in a list of tables, from 0, and `*` for a name of one's own; in a variable they \
             are `N` and `NAME`. The value\nof a variable goes before what the file says. `prunella config show FILE` says what \
             holds in the end.\n",
        );
        for kind in [FileKind::Agent, FileKind::Server] {
            let (keys, prefix) = kind.keys().unwrap();
            page += &format!("\n## {}\n\n{}", kind.as_str(), table(&keys, prefix));
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        if found == page {
            return;
        }
        assert!(
            std::env::var_os("UPDATE_EXPECT").is_some(),
            "docs/reference.md is not as the tables say; set UPDATE_EXPECT=1"
        );
        std::fs::write(&path, page).unwrap();
    }
}
