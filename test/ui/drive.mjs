// Visits views of the hub's web UI and reports what is wrong with them, one line per problem. The plan comes as JSON on standard input:
// {base, browser, modules, profile, shots, user, password, visits: [{name, hash, path, width, dark, expect, refuse, forgive, steps}]}.
// Without a user nobody logs in.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const plan = JSON.parse(readFileSync(0, "utf8"));
const { chromium } = createRequire(join(plan.modules, "package.json"))("playwright-core");
const problem = (where, text) => console.log(`${where}: ${text}`);

const context = await chromium.launchPersistentContext(plan.profile, {
  executablePath: plan.browser,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  viewport: { width: 1440, height: 900 },
  timezoneId: "America/New_York", // far from UTC, so that a time shown in the wrong zone is seen
});
// axe-core comes with every document; evaluated by the browser's own protocol, it needs nothing of the page's security policy.
await context.addInitScript({ path: createRequire(join(plan.modules, "package.json")).resolve("axe-core/axe.min.js") });
const page = context.pages()[0] ?? (await context.newPage());
page.setDefaultTimeout(10_000);
let where = "start";
let forgiven = /$^/;
page.on("console", (m) => {
  if (["error", "warning"].includes(m.type()) && !forgiven.test(m.text())) problem(where, `console ${m.type()}: ${m.text()}`);
});
page.on("pageerror", (e) => problem(where, `uncaught: ${e.message}`));
page.on("request", (r) => {
  if (!r.url().startsWith(plan.base) && !r.url().startsWith("data:")) problem(where, `asks elsewhere: ${r.url()}`);
});

const text = () => page.evaluate(() => document.body.innerText);

async function settled(v) {
  for (const want of v.expect ?? []) {
    try {
      await page.waitForFunction((w) => document.body.innerText.toLowerCase().includes(w.toLowerCase()), want, { timeout: 8000 });
    } catch {
      problem(v.name, `does not show ${JSON.stringify(want)}; it shows ${JSON.stringify((await text()).slice(0, 1500))}`);
    }
  }
  const seen = await text();
  for (const no of ["undefined", "NaN", "[object", "Infinity", "1970-", ...(v.refuse ?? [])]) {
    if (seen.includes(no)) problem(v.name, `shows ${JSON.stringify(no)}`);
  }
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) problem(v.name, `is ${over} px wider than the window`);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, a, input, select")].filter((e) => !(e.textContent?.trim() || e.getAttribute("aria-label") || e.labels?.length)).map((e) => e.outerHTML.slice(0, 100)),
  );
  const wide = page.viewportSize().width >= 1440;
  const long = await page.evaluate(() => document.documentElement.scrollHeight / window.innerHeight);
  if (wide && long > 3) problem(v.name, `is ${long.toFixed(1)} screens long: long lists need pages`);
  const clipped = await page.evaluate(() => [...document.querySelectorAll(".table")].filter((t) => t.scrollWidth > t.clientWidth + 1).map((t) => t.getAttribute("aria-label")));
  if (wide) for (const label of clipped) problem(v.name, `the table ${label} is clipped`);
  // The agent documents its API in a table of its own page.
  if (plan.user && await page.evaluate(() => [...document.querySelectorAll("td")].some((t) => /[{[]"/.test(t.textContent)))) problem(v.name, "shows JSON in a table");
  const pale = await page.evaluate(() => {
    if (!getComputedStyle(document.documentElement).getPropertyValue("--text")) return [];
    // relative luminance and contrast of WCAG 2
    const probe = document.body.appendChild(document.createElement("i"));
    const light = (name) => {
      probe.style.color = `var(${name})`;
      const c = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map((x) => (x / 255 <= 0.03928 ? x / 255 / 12.92 : ((x / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
    };
    const out = [];
    for (const fore of ["--text", "--soft", "--faint", "--ok", "--warn", "--bad", "--info", "--accent"]) {
      for (const back of ["--bg", "--card", "--raised", "--hover"]) {
        const [a, b] = [light(fore), light(back)];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) out.push(`${fore} on ${back} has a contrast of ${ratio.toFixed(2)}`);
      }
    }
    probe.remove();
    return out;
  });
  for (const e of pale) problem(v.name, e);
  for (const e of nameless) problem(v.name, `a control without a name: ${e}`);
}

/** accessible runs axe on what is to be seen now, as a desk and as a telephone show it, in light and in dark. */
async function accessible(name) {
  const found = new Map(); // what is wrong, and where it is seen
  for (const [width, height] of [[1440, 900], [390, 844]]) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      for (const violation of await page.evaluate(violations)) {
        found.set(violation, [...(found.get(violation) ?? []), `${width} px ${colorScheme}`]);
      }
    }
  }
  for (const [violation, seen] of found) problem(name, `at ${seen.join(", ")}: ${violation}`);
}

/** violations runs in the page: one line for each rule of impact serious or critical and each element that breaks it. */
async function violations() {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))); // charts draw in the next frame
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const of = ({ id, impact, help, helpUrl, nodes }) =>
    nodes.map((n) => `axe ${id} (${impact}), ${help}: ${n.target.join(" ")} (${helpUrl.replace(/[?].*/, "")})`);
  return violations.filter((v) => ["serious", "critical"].includes(v.impact)).flatMap(of);
}

async function act([what, target, value]) {
  if (what === "click") await page.getByRole("button", { name: target, exact: true }).click();
  else if (what === "fill") await page.getByRole("textbox", { name: target }).fill(value);
  else if (what === "expire") await page.evaluate(() => {
    const s = JSON.parse(localStorage.getItem("skerry.session"));
    localStorage.setItem("skerry.session", JSON.stringify({ ...s, token: "x.y.z" }));
    location.reload();
  });
  else if (what === "second tab") {
    // One login is for all tabs, and so is its end.
    const other = await context.newPage();
    await other.goto(plan.base + "/");
    await other.getByRole("heading", { name: "Fleet" }).waitFor();
    if (target === "sign out") await other.getByRole("button", { name: "Sign out" }).click();
    await other.close();
  }
  else if (what === "key") await page.keyboard.press(target);
  else throw new Error(`unknown step ${what}`);
}

try {
  where = "login";
  await page.goto(plan.base + "/");
  if (plan.user) {
    await page.getByLabel("User").waitFor();
    await accessible(where);
    await page.getByLabel("User").fill(plan.user);
    await page.getByLabel("Password").fill(plan.password);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Fleet" }).waitFor();
  }
  for (const v of plan.visits) {
    where = v.name;
    forgiven = v.forgive ? new RegExp(v.forgive) : /$^/;
    await page.setViewportSize({ width: v.width || 1440, height: v.width && v.width < 600 ? 800 : 900 });
    await page.emulateMedia({ colorScheme: v.dark ? "dark" : "light" });
    if (v.path) await page.goto(plan.base + v.path);
    if (v.hash) await page.evaluate((h) => void (location.hash = h), v.hash);
    await page.waitForTimeout(100);
    try {
      for (const s of v.steps ?? []) await act(s);
      await settled(v);
    } catch (e) {
      problem(v.name, String(e));
    }
    await page.waitForTimeout(250); // charts draw in the next frame
    await page.screenshot({ path: join(plan.shots, v.name + ".png"), fullPage: !v.window });
    try {
      if (!v.width && !v.dark) await accessible(v.name); // the others show pages that were seen so already
    } catch (e) {
      problem(v.name, String(e));
    }
  }
} catch (e) {
  problem(where, String(e));
} finally {
  await context.close();
}
