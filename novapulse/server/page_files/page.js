// What our own pages do: they send a form as JSON and show what came back, as text only.
"use strict";

const api = "/api/v1";
const at = (id) => document.getElementById(id);
let csrf = "";

// A wish that nobody has answered keeps its key: sent again, it acts once.
const unanswered = new Map();
const isWish = (method, path) => method !== "GET" && /^\/(people|keys|sessions|session\/second-factor)\b/.test(path);

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF": csrf };
  const wish = JSON.stringify([method, path, body]);
  if (isWish(method, path)) {
    if (!unanswered.has(wish)) unanswered.set(wish, crypto.randomUUID());
    headers["Idempotency-Key"] = unanswered.get(wish);
  }
  let answer;
  try {
    answer = await fetch(api + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("the server does not answer");
  }
  const said = answer.status === 204 ? {} : await answer.json();
  if (answer.status < 500) unanswered.delete(wish);
  if (!answer.ok) throw new Error(said.text || "that did not work");
  return said;
}

function on(id, work) {
  const form = at(id);
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    at("said").textContent = "";
    try {
      await work(Object.fromEntries(new FormData(form)), form);
    } catch (wrong) {
      at("said").textContent = wrong.message;
    } finally {
      button.disabled = false;
    }
  });
}

const home = "/apps/overview";

// Only a page of this server, and the whole address: `/.//elsewhere` is a path of ours that reads as another server.
function ours(wanted) {
  let target;
  try {
    target = new URL(wanted, location.origin);
  } catch {
    return "";
  }
  const isPage = target.pathname.startsWith("/apps/") || ["/", "/account"].includes(target.pathname);
  return target.origin === location.origin && isPage ? target.href : "";
}

const next = () => new URLSearchParams(location.search).get("next");
const after = () => (next() && ours(next())) || home;

// The code of a second factor is asked for where there is one; what is not asked for is not sent.
function askForCode(wanted) {
  for (const part of document.querySelectorAll("[data-code]")) {
    part.hidden = !wanted;
    part.querySelector("input").disabled = !wanted;
  }
}

for (const other of document.querySelectorAll("[data-recovery]")) {
  other.addEventListener("click", () => {
    const input = other.parentElement.querySelector("input");
    const isApp = input.inputMode === "numeric";
    input.inputMode = isApp ? "text" : "numeric";
    other.parentElement.querySelector("label").textContent = isApp ? "Recovery code" : "Code of your app";
    other.textContent = isApp ? "Use the code of your app" : "Use a recovery code";
    input.value = "";
    input.focus();
  });
}

function toCode(wanted) {
  at("login").hidden = at("no-account").hidden = wanted;
  at("give-code").hidden = !wanted;
  at("said").textContent = "";
  askForCode(wanted);
  at(wanted ? "code" : "name").focus();
}

on("login", async ({ name, password }, form) => {
  if (!(await ask("POST", "/session", { name, password })).code_wanted) {
    location.replace(after());
    return;
  }
  form.reset();
  toCode(true);
});

on("give-code", async ({ code }, form) => {
  try {
    await ask("POST", "/session/code", { code });
  } catch (wrong) {
    form.reset();
    throw wrong;
  }
  location.replace(after());
});

if (at("give-code")) {
  at("again").addEventListener("click", () => toCode(false));
  // Who chose a password by a link has given it.
  if (location.hash === "#code") toCode(true);
}

on("confirm", async ({ password, code }) => {
  const me = await ask("GET", "/session");
  csrf = me.csrf;
  if (me.has_second_factor && code === undefined) {
    askForCode(true);
    at("code").focus();
    return;
  }
  await ask("POST", "/session/step-up", { password, code });
  location.replace(after());
});

if (at("confirm")) {
  ask("GET", "/session").then((me) => askForCode(me.has_second_factor), (wrong) => { at("said").textContent = wrong.message; });
}

on("welcome", async ({ name, password, again }) => {
  if (password !== again) throw new Error("the two passwords differ");
  const came = await ask("POST", "/session/welcome", { token: location.hash.slice(1), name, password });
  location.replace(came.code_wanted ? "/login#code" : home);
});
