//! Whether a database has the columns that it should have.

use rusqlite::Connection;

/// What the tables of this schema hold and this database does not, as `table.column`.
///
/// # Errors
/// SQLite's.
pub(super) fn missing(
    connection: &Connection,
    schema: &str,
    tables: &[&str],
) -> rusqlite::Result<Option<String>> {
    let whole = Connection::open_in_memory()?;
    whole.execute_batch(schema)?;
    for table in tables {
        let has = columns(connection, table)?;
        let missing = columns(&whole, table)?.into_iter().find(|column| !has.contains(column));
        if let Some(column) = missing {
            return Ok(Some(format!("{table}.{column}")));
        }
    }
    Ok(None)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
    query.query_map([table], |row| row.get(0))?.collect()
}
