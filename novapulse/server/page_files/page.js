// What our own pages do: they send a form as JSON and show what came back, as text only.
"use strict";

const api = "/api/v1";
const at = (id) => document.getElementById(id);
let csrf = "";

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json", "X-CSRF": csrf };
  let answer;
  try {
    answer = await fetch(api + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Error("the server does not answer");
  }
  const said = answer.status === 204 ? {} : await answer.json();
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

// Only a path of this server, never another place.
function after() {
  const wanted = new URLSearchParams(location.search).get("next") || "/apps/overview";
  const target = new URL(wanted, location.origin);
  return target.origin === location.origin ? target.pathname + target.search : "/apps/overview";
}

on("login", async ({ name, password }) => {
  await ask("POST", "/session", { name, password });
  location.replace(after());
});

on("welcome", async ({ name, password, again }) => {
  if (password !== again) throw new Error("the two passwords differ");
  await ask("POST", "/session/welcome", { token: location.hash.slice(1), name, password });
  location.replace("/apps/overview");
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

async function fill() {
  const me = await ask("GET", "/session");
  csrf = me.csrf;
  at("who").textContent = `${me.name}, ${me.role}`;
  const left = Math.round((me.step_up_until_ns / 1e6 - Date.now()) / 60000);
  at("step-state").textContent = left > 0 ? `Confirmed for another ${left} min.` : "";
  const sessions = await ask("GET", "/sessions");
  at("sessions").replaceChildren(...sessions.map((one) => row(
    [one.agent.slice(0, 60), one.address, moment(one.created_ns)], one.is_this ? "" : "End it",
    one.is_this ? null : () => ask("DELETE", `/sessions/${encodeURIComponent(one.handle)}`))));
  const keys = (await ask("GET", "/keys")).filter((one) => !one.revoked_ns);
  at("keys").replaceChildren(...keys.map((one) => row(
    [one.label, one.scopes.join(" "), moment(one.expires_ns)], "Revoke",
    () => ask("DELETE", `/keys/${encodeURIComponent(one.prefix)}`))));
}

if (at("sessions")) {
  on("step-up", async ({ password }, form) => {
    csrf = (await ask("POST", "/session/step-up", { password })).csrf;
    form.reset();
    await fill();
  });
  on("make-key", async ({ label }, form) => {
    const made = await ask("POST", "/keys", { label, scopes: ["read"], days: 90 });
    at("new-key").textContent = made.key;
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
