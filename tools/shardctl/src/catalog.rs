//! The catalog against the shards' own rows, and made anew from them.

use crate::ask::{AskError, Checks, Router};
use crate::change::by;
use crate::cli::{CatalogCommand, Cli};
use crate::{DONE, Desk, FOUND, show};
use shardline_wire::internal::{CheckCatalogRequest, RebuildCatalogRequest};
use tonic::Code;

pub(crate) async fn catalog(
    cli: &Cli,
    command: &CatalogCommand,
    desk: &mut Desk<'_>,
) -> Result<u8, AskError> {
    let router = Router::reach(cli).await?;
    match command {
        CatalogCommand::Check => {
            let call = async |mut to: Checks, request| to.check_catalog(request).await;
            let answer = router.check(CheckCatalogRequest {}, call).await?;
            let _ = desk.show(cli, &show::catalog_check(&answer));
            Ok(if answer.total == 0 { DONE } else { FOUND })
        }
        CatalogCommand::Rebuild { shards, dry_run } => {
            let (addresses, dry_run) = (shards.clone(), *dry_run);
            let request = RebuildCatalogRequest { addresses, dry_run, by: by(cli) };
            let call = async |mut to: Checks, request| to.rebuild_catalog(request).await;
            let answer = router.check(request, call).await.map_err(|error| {
                error.hint(Code::FailedPrecondition, || {
                    "nothing was changed; name every shard-node of the cluster, stop routers of the old \
                     catalog, and keep the shards' databases as they are"
                        .to_owned()
                })
            })?;
            let _ = desk.show(cli, &show::catalog_rebuilt(&answer));
            Ok(DONE)
        }
    }
}
