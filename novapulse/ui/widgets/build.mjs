// Builds every widget of src/ into one script and one style sheet in assets/, and writes what was built from what.
// `node build.mjs --into FOLDER` builds elsewhere: the tests compare that with what is committed.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const asked = process.argv.indexOf("--into");
const into = asked > 0 ? process.argv[asked + 1] : join(here, "assets");
const source = join(here, "src");
const widgets = readdirSync(join(source, "widgets")).filter((name) => name.endsWith(".ts")).map((name) => name.slice(0, -3));

rmSync(into, { recursive: true, force: true });
mkdirSync(into, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: widgets.flatMap((name) => [`src/widgets/${name}.ts`, `src/widgets/${name}.css`]),
  outdir: into,
  bundle: true,
  minify: true,
  charset: "utf8",
  format: "esm",
  target: ["es2022", "chrome111", "firefox113", "safari16.4"],
  legalComments: "inline",
  logLevel: "warning",
});

const digest = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");
const tree = (folder, prefix = "") =>
  readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? tree(join(folder, entry.name), `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
  );
const listed = (folder, names) => Object.fromEntries(names.sort().map((name) => [name, digest(join(folder, name))]));
const tools = ["build.mjs", "package.json", "package-lock.json", "tsconfig.json"];
const manifest = {
  built: listed(into, tree(into)),
  sources: listed(here, [...tools, ...tree(source, "src/")]),
};
writeFileSync(join(into, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
