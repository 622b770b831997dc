// Writes ../static (or the folder named) from src: `npm ci && npm run build`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "static");
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: out,
  bundle: true,
  minify: true,
  // Everything beyond ASCII is escaped, so that the file is the same under any charset.
  charset: "ascii",
  format: "iife",
  target: ["chrome110", "firefox115", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  logLevel: "warning",
});
// The script also stands inside of HTML files, where this would begin a comment.
const script = join(out, "app.js");
await writeFile(script, (await readFile(script, "utf-8")).replaceAll("<!--", "<\\!--"));
await copyFile(join(here, "src", "index.html"), join(out, "index.html"));

// What is built in keeps its licence beside it.
const { dependencies } = JSON.parse(await readFile(join(here, "package.json"), "utf-8"));
const licences = Object.entries(dependencies).map(async ([name, version]) => {
  const text = await readFile(join(here, "node_modules", name, "LICENSE"), "utf-8");
  return `${name} ${version}\n\n${text.trim()}\n`;
});
await writeFile(join(out, "licenses.txt"), (await Promise.all(licences)).join("\n\n"));
