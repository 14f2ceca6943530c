// Builds the page into the package, with what the server and the tests need to know of it in page.json.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { defineConfig, type Plugin } from "vite";

const HERE = import.meta.dirname;
const WAVE_HEIGHT = "96";
const NOT_SOURCES = new Set(["node_modules"]);

/** SHA-256 over the names and contents of everything in web/; tests/page computes it anew. */
function hashOfSources(): string {
  const hash = createHash("sha256");
  const walk = (folder: string): string[] =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => !NOT_SOURCES.has(entry.name))
      .flatMap((entry) => (entry.isDirectory() ? walk(join(folder, entry.name)) : [join(folder, entry.name)]));
  const files = walk(HERE).map((file) => relative(HERE, file).replaceAll("\\", "/")).sort();
  for (const file of files) {
    const content = createHash("sha256").update(readFileSync(join(HERE, file))).digest("hex");
    hash.update(`${content}  ${file}\n`);
  }
  return hash.digest("hex");
}

/** The style sheet that wavesurfer puts into its shadow root: the one inline style that the policy allows, by its hash. */
function styleOfWavesurfer(): string {
  const source = readFileSync(join(HERE, "node_modules/wavesurfer.js/dist/renderer.js"), "utf8");
  const style = /<style\$\{cspNonce[^>]*>([\s\S]*?)<\/style>/.exec(source)?.[1];
  const height = "${this.getHeight(this.options.height, this.options.splitChannels)}";
  const whole = style?.replace(height, WAVE_HEIGHT);
  if (!whole || whole.includes("${")) throw new Error("wavesurfer's style sheet is not as it was: see styleOfWavesurfer");
  return `sha256-${createHash("sha256").update(whole).digest("base64")}`;
}

/** The licences of the packages that are in the bundle. */
function licencesOf(modules: Iterable<string>): string {
  const packages = new Set<string>();
  for (const module of modules) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(module)?.[1];
    if (name) packages.add(name);
  }
  const rule = "=".repeat(80);
  const parts = [...packages].sort().map((name) => {
    const folder = join(HERE, "node_modules", name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    if (!file) throw new Error(`${name} has no licence file: it cannot be bundled`);
    return `${rule}\n${name} ${version}\n${rule}\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  const own = readFileSync(join(HERE, "../LICENSE"), "utf8").trim();
  return [`${rule}\nThis page (aasist)\n${rule}\n\n${own}\n`, ...parts, FFT].join("\n");
}

const FFT = `${"=".repeat(80)}
The Fourier transform in wavesurfer.js, by dsp.js (https://github.com/corbanbrook/dsp.js)
${"=".repeat(80)}

Copyright (c) 2010 Corban Brook

Released under the MIT license:

${readMit()}
`;

/** The terms of the MIT licence, without whose they are. */
function readMit(): string {
  const text = readFileSync(join(HERE, "../LICENSE"), "utf8");
  return text.slice(text.indexOf("Permission is hereby granted")).trim();
}

function described(): Plugin {
  return {
    name: "page",
    generateBundle(_, bundle) {
      const modules = Object.values(bundle).flatMap((part) => (part.type === "chunk" ? Object.keys(part.modules) : []));
      const facts = { sources: hashOfSources(), styles: [styleOfWavesurfer()] };
      this.emitFile({ type: "asset", fileName: "page.json", source: `${JSON.stringify(facts, null, 1)}\n` });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: licencesOf(modules) });
    },
  };
}

if (!existsSync(join(HERE, "../LICENSE"))) throw new Error("web/ is built within the repository");

export default defineConfig({
  base: "./",
  define: { __WAVE_HEIGHT__: JSON.stringify(WAVE_HEIGHT) },
  worker: { format: "es" },
  build: {
    outDir: "../src/aasist/service/page",
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: false,
  },
  plugins: [described()],
});
