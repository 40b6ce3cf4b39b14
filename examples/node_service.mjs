/**
 * A bundle as an HTTP service in Node, which needs no Python.
 *
 *     node node_service.mjs BUNDLE [PORT]
 *     curl -d '{"history": [1198, 3552], "context": {"gender": "F"}}' http://127.0.0.1:8080/recommend
 *
 * It answers {"item_ids": [...], "scores": [...]}, best first, and 400 with the reason for what it cannot use. It imports
 * @bst/node: csv_to_node.sh shows how to install that.
 */

import { createServer } from "node:http";
import { InputError, openBundle } from "@bst/node";

const LONGEST = 1_000_000; // characters of a request
const [folder, port = "8080"] = process.argv.slice(2);
const bundle = await openBundle(folder);

/** Ids beyond 2^53 come as bigint, which JSON has not: they go out as text, and text is taken for an id as well. */
const json = (value) => JSON.stringify(value, (_, one) => (typeof one === "bigint" ? String(one) : one));

async function answer(request) {
  if (request.url !== "/recommend") throw new InputError(`${request.url} is not /recommend`);
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > LONGEST) throw new InputError(`a request is longer than ${LONGEST} characters`);
  }
  const { history, context, events } = JSON.parse(body);
  return bundle.recommend({ history, context, events });
}

const server = createServer(async (request, response) => {
  let status = 200;
  const result = await answer(request).catch((error) => {
    status = error instanceof InputError || error instanceof SyntaxError ? 400 : 500;
    return { error: error.message };
  });
  response.writeHead(status, { "content-type": "application/json" }).end(json(result));
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/recommend`);
});
