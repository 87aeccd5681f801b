// Visits views of the hub's web UI and reports what is wrong with them, one line per problem. The plan comes as JSON on standard input:
// {base, browser, modules, profile, shots, user, password, visits: [{name, hash, width, dark, expect, refuse, forgive, steps}]}.
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
  for (const e of nameless) problem(v.name, `a control without a name: ${e}`);
}

async function act([what, target, value]) {
  if (what === "click") await page.getByRole("button", { name: target, exact: true }).click();
  else if (what === "fill") await page.getByRole("textbox", { name: target }).fill(value);
  else if (what === "expire") await page.evaluate(() => {
    const s = JSON.parse(sessionStorage.getItem("skerry.session"));
    sessionStorage.setItem("skerry.session", JSON.stringify({ ...s, token: "x.y.z" }));
    location.reload();
  });
  else if (what === "key") await page.keyboard.press(target);
  else throw new Error(`unknown step ${what}`);
}

try {
  where = "login";
  await page.goto(plan.base + "/");
  await page.getByLabel("User").fill(plan.user);
  await page.getByLabel("Password").fill(plan.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Fleet" }).waitFor();
  for (const v of plan.visits) {
    where = v.name;
    forgiven = v.forgive ? new RegExp(v.forgive) : /$^/;
    await page.setViewportSize({ width: v.width || 1440, height: v.width && v.width < 600 ? 800 : 900 });
    await page.emulateMedia({ colorScheme: v.dark ? "dark" : "light" });
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
  }
} catch (e) {
  problem(where, String(e));
} finally {
  await context.close();
}
