// Joins the scripts that a page of an app takes from marimo into one, for novapulse/server to send in their place.
// `node joined.mjs MARIMO` takes the folder of the installed package; `--into FOLDER` builds elsewhere, for the tests.
//
// marimo's page loads some 290 scripts before it draws anything. They are joined as they are, but for two things: the
// page that shows an app is drawn with the first picture instead of after React's pause of 300 ms for what came late,
// and what was joined is not asked for again. Every script that is left, such as that of a chart, finds the names of a
// joined one under its old address.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const asked = process.argv.indexOf("--into");
const into = asked > 0 ? process.argv[asked + 1] : join(here, "..", "..", "server", "marimo_files");
const marimo = join(process.argv[2], "_static");
const assets = join(marimo, "assets");

const SHOWS_APP =
  /=\w+\(\(\)=>\w+\(\(\)=>import\(`\.\/(run-page-[\w-]+\.js)`\),__vite__mapDeps\(\[([\d,]+)\]\),import\.meta\.url\)\)/g;
const NAMED = /__vite__mapDeps=\(i,m=__vite__mapDeps,d=\(m\.f\|\|\(m\.f=(\[[^\]]*\])\)\)\)/;

const digest = (what) => createHash("sha256").update(what).digest("hex");
const read = (name) => readFileSync(join(assets, name), "utf8");
const only = (found, what) => {
  if (found.length !== 1) throw new Error(`marimo has ${found.length} of ${what}: look at how its page loads now`);
  return found[0];
};
const common = { absWorkingDir: assets, bundle: true, write: false, metafile: true, format: "esm", logLevel: "warning" };
const left_alone = {
  name: "what is loaded later stays apart",
  setup: (given) =>
    given.onResolve({ filter: /.*/ }, (one) =>
      one.kind === "dynamic-import" ? { path: one.path, external: true } : undefined,
    ),
};

const page = readFileSync(join(marimo, "index.html"), "utf8");
const entry = only([...page.matchAll(/<script type="module" crossorigin src="\.\/assets\/([^"]+)"/g)], "the first script")[1];
const [, shows, numbers] = only([...read(entry).matchAll(SHOWS_APP)], "the page that shows an app");
const named = JSON.parse(only([read(entry).match(NAMED)].filter(Boolean), "the list of what is loaded later")[1]);
const styles = numbers
  .split(",")
  .map((one) => named[one].slice(2))
  .filter((name) => name.endsWith(".css") && !page.includes(name));

const taken = await build({ ...common, entryPoints: [entry, shows], outdir: "out", plugins: [left_alone] });
const parts = Object.keys(taken.metafile.inputs).sort();
const number = new Map(parts.map((name, at) => [name, at]));
const early = [...page.matchAll(/<link rel="modulepreload"[^>]*href="\.\/assets\/([^"]+)"/g)].map((one) => one[1]);
only([early.every((name) => number.has(name))].filter(Boolean), "a page that loads early what is joined");
const each = await build({ ...common, bundle: false, entryPoints: parts, outdir: "out" });
const exported = Object.fromEntries(
  Object.values(each.metafile.outputs)
    .map((one) => [one.entryPoint, one.exports.sort()])
    .sort(([one], [other]) => (one < other ? -1 : 1)),
);

const script = `run-${digest(parts.map((name) => digest(read(name))).join() + digest(readFileSync(fileURLToPath(import.meta.url)))).slice(0, 12)}.js`;
const changed = (name) => {
  const text = read(name).replace(NAMED, (whole, list) =>
    whole.replace(list, JSON.stringify(JSON.parse(list).map((one) => (number.has(one.slice(2)) ? `./${script}` : one)))),
  );
  return name === entry
    ? `import * as __run from "./${shows}";${text.replace(SHOWS_APP, "={preload(){},Component:__run.default}")}`
    : text;
};
const all = parts
  .filter((name) => exported[name].length)
  .map((name) => `export { ${exported[name].map((one) => `${one} as m${number.get(name)}_${one}`)} } from "./${name}";`);
const joined = await build({
  ...common,
  stdin: { contents: [`import "./${entry}";`, ...all].join("\n"), resolveDir: assets },
  minify: true,
  charset: "utf8",
  target: "esnext",
  legalComments: "inline",
  plugins: [
    left_alone,
    {
      name: "what is joined is not asked for again",
      setup: (given) =>
        given.onLoad({ filter: /\.js$/ }, (one) => ({ contents: changed(basename(one.path)), loader: "js" })),
    },
  ],
});

rmSync(into, { recursive: true, force: true });
mkdirSync(into, { recursive: true });
writeFileSync(join(into, `${script}.gz`), gzipSync(joined.outputFiles[0].contents, { level: 9 }));
const told = { page: digest(page), script, digest: digest(joined.outputFiles[0].contents), entry, styles, exported };
writeFileSync(join(into, "joined.json"), `${JSON.stringify(told)}\n`);
