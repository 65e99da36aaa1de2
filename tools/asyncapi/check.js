// Reads an AsyncAPI document from stdin and prints what the official parser finds, as a JSON list; empty = nothing.
const { Parser } = require("@asyncapi/parser");

async function main() {
  let text = "";
  for await (const part of process.stdin) text += part;
  const { document, diagnostics } = await new Parser().parse(text);
  const found = diagnostics.map((d) => ({ severity: d.severity, code: d.code, path: d.path, message: d.message }));
  if (!document) found.push({ severity: 0, code: "no-document", path: [], message: "the parser made no document of it" });
  process.stdout.write(JSON.stringify(found));
}

main();
