//! Pictures in sizes that have names: `/img/cat.jpg?size=small`. The builtin thumbnail hook makes them.
//!
//! Config: `small = "128x128"`, `card = "320x240"`. Put it before the thumbnail hook, at the routes of the pictures:
//!
//! ```toml
//! hooks = ["sizes", "thumb"]
//! ```
//!
//! A size of one's own, `?w=5000&h=5000`, is taken out of the query: it would only keep the node busy and its cache full.

use selvedge_hook::prelude::*;

hook!(viewer-request: by_name);

fn by_name(request: &Request) -> Result<Option<Response>> {
    let mut query = Query::parse(&request.query().unwrap_or_default());
    let name = query.get("size");
    query.retain(|name| !matches!(name, "size" | "w" | "h"));
    if let Some(name) = name {
        let Some(size) = config::get(&name) else {
            let names = config::keys().join(", ");
            return Ok(Some(Response::text(400, format!("there is no such size; there are {names}\n"))?));
        };
        let (width, height) =
            size.split_once('x').ok_or_else(|| format!("config {name} = \"{size}\" is no size"))?;
        query.set("w", width);
        query.set("h", height);
    }
    request.set_query((!query.is_empty()).then(|| query.to_string()).as_deref())?;
    Ok(None)
}
