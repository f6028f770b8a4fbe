//! The checksum databases, as an operator sees them.

use super::OperateError;
use crate::engine::Engine;

pub use crate::sumdb::Status as DatabaseStatus;

impl Engine {
    /// The state of each database, in the order in which they are configured.
    pub fn databases(&self) -> Vec<DatabaseStatus> {
        let databases = self.verifier.databases().iter();
        databases.map(|database| database.status()).collect()
    }

    /// An operator knows of the alarms of a database: ends them, and gives how many there were. With `begin_anew`,
    /// everything that is kept of the database is forgotten as well.
    pub async fn acknowledge(&self, name: &str, begin_anew: bool) -> Result<usize, OperateError> {
        let Some(database) = self.database(name) else {
            return Err(OperateError::NoDatabase {
                name: name.to_owned(),
                known: self.databases().into_iter().map(|it| it.name).collect(),
            });
        };
        let alarms = database.acknowledge().await;
        if begin_anew {
            let begun = database.begin_anew().await;
            begun.map_err(|error| OperateError::Database(error.to_string()))?;
        }
        Ok(alarms)
    }
}
