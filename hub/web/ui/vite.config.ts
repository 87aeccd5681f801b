import { rmSync } from "node:fs";
import { defineConfig } from "vitest/config";

// The build lands beside the Go package that embeds it. Everything but index.html carries a hash in its name and may be cached for good.
export default defineConfig({
  base: "./",
  plugins: [
    {
      name: "sweep", // instead of emptyOutDir, which would take the placeholder page too
      apply: "build",
      buildStart: () => rmSync("../dist/assets", { recursive: true, force: true }),
    },
  ],
  build: { outDir: "../dist", emptyOutDir: false, sourcemap: false, assetsInlineLimit: 0, target: "es2022" },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
