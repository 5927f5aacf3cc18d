// What our own pages do: they send a form as JSON and show what came back, as text only.
"use strict";

const api = "/api/v1";
const at = (id) => document.getElementById(id);
let csrf = "";

// A wish that nobody has answered keeps its key: sent again, it acts once.
const unanswered = new Map();
const isWish = (method, path) => method !== "GET" && /^\/(people|keys|sessions)\b/.test(path);

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

on("login", async ({ name, password }) => {
  await ask("POST", "/session", { name, password });
  location.replace(after());
});

on("confirm", async ({ password }) => {
  csrf = (await ask("GET", "/session")).csrf;
  await ask("POST", "/session/step-up", { password });
  location.replace(after());
});

on("welcome", async ({ name, password, again }) => {
  if (password !== again) throw new Error("the two passwords differ");
  await ask("POST", "/session/welcome", { token: location.hash.slice(1), name, password });
  location.replace(home);
});

const moment = (ns) => new Date(ns / 1e6).toISOString().replace("T", " ").slice(0, 16) + " UTC";

function row(cells, label, act) {
  const line = document.createElement("tr");
  for (const text of cells) line.appendChild(document.createElement("td")).textContent = text;
  const last = line.appendChild(document.createElement("td"));
  if (act) {
    const button = last.appendChild(document.createElement("button"));
    button.className = "plain";
    button.textContent = label;
    button.addEventListener("click", async () => {
      try {
        await act();
        await fill();
      } catch (wrong) {
        at("said").textContent = wrong.message;
      }
    });
  }
  return line;
}

// What people call a browser; what nobody knows is shown as it says itself, whole.
function browserOf(agent) {
  // Edge and Opera call themselves Chrome too, and nearly all of them Safari.
  const browser = [/(Edg|OPR)\/(\d+)/, /(Firefox|FxiOS|CriOS|Chrome)\/(\d+)/, /(Safari)\//].map((one) => one.exec(agent)).find(Boolean);
  const system = /iPhone|iPad|Android|Windows|Mac OS X|CrOS|Linux/.exec(agent);
  const names = { Edg: "Edge", OPR: "Opera", FxiOS: "Firefox", CriOS: "Chrome" };
  if (!browser) return agent;
  const name = [names[browser[1]] ?? browser[1], browser[2]].filter(Boolean).join(" ");
  return system ? `${name} on ${system[0].replace("Mac OS X", "macOS").replace("CrOS", "ChromeOS")}` : name;
}

async function fill() {
  const me = await ask("GET", "/session");
  csrf = me.csrf;
  at("who").textContent = `${me.name}, ${me.role}`;
  // A key has at most what its person has, and never looks after people.
  for (const box of document.querySelectorAll("#make-key input[name=scope]")) {
    box.closest("label").hidden = box.disabled = !me.scopes.includes(box.value);
  }
  const left = Math.round((me.step_up_until_ns / 1e6 - Date.now()) / 60000);
  at("step-state").textContent = left > 0 ? `Confirmed for another ${left} min.` : "";
  const sessions = await ask("GET", "/sessions");
  at("sessions").replaceChildren(...sessions.map((one) => row(
    [browserOf(one.agent), one.address, moment(one.created_ns)], one.is_this ? "" : "End it",
    one.is_this ? null : () => ask("DELETE", `/sessions/${encodeURIComponent(one.handle)}`))));
  const keys = (await ask("GET", "/keys")).filter((one) => !one.revoked_ns);
  at("keys").replaceChildren(...keys.map((one) => row(
    [one.label, one.scopes.join(" "), one.networks.join(" ") || "anywhere", moment(one.expires_ns)], "Revoke",
    () => ask("DELETE", `/keys/${encodeURIComponent(one.prefix)}`))));
}

// The page that sent somebody here, as `next` or as where the browser came from, is where the way back leads.
function wayBack() {
  const came = ours(next() || document.referrer || "/");
  if (!came || !new URL(came).pathname.startsWith("/apps/")) return;
  const back = at("back");
  back.href = came;
  back.textContent = "← Back to the page you came from";
  back.dataset.asked = "yes";
}

if (at("sessions")) {
  wayBack();
  on("step-up", async ({ password }, form) => {
    csrf = (await ask("POST", "/session/step-up", { password })).csrf;
    form.reset();
    await fill();
    const back = at("back");
    if (back.dataset.asked) back.focus();
  });
  on("make-key", async (said, form) => {
    const scopes = new FormData(form).getAll("scope");
    const networks = said.networks.split(/[\s,]+/).filter(Boolean);
    const made = await ask("POST", "/keys", { label: said.label, scopes, days: Number(said.days), networks });
    at("new-key").textContent = made.key ?? "It was made before, and a key is told once: revoke it, and make another.";
    form.reset();
    await fill();
  });
  on("change-password", async (said, form) => {
    csrf = (await ask("POST", "/session/password", { old: said.old, new: said.new })).csrf;
    form.reset();
    await fill();
  });
  at("sign-out").addEventListener("click", async () => {
    await ask("DELETE", "/session");
    location.replace("/login");
  });
  fill().catch((wrong) => { at("said").textContent = wrong.message; });
}
