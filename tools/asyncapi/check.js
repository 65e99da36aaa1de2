// Reads a list of AsyncAPI documents from stdin and prints, for each, what the official parser finds, as JSON; [] = nothing.
const { Parser } = require("@asyncapi/parser");

async function found(said) {
  const { document, diagnostics } = await new Parser().parse(JSON.stringify(said));
  const list = diagnostics.map((d) => ({ severity: d.severity, code: d.code, path: d.path, message: d.message }));
  if (!document) list.push({ severity: 0, code: "no-document", path: [], message: "the parser made no document of it" });
  return list;
}

async function main() {
  let text = "";
  for await (const part of process.stdin) text += part;
  const answers = [];
  for (const said of JSON.parse(text)) answers.push(await found(said));
  process.stdout.write(JSON.stringify(answers));
}

main();
