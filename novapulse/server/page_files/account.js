// One's account: the second factor, where one is signed in, keys and the password. It goes on from `page.js`.
"use strict";

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

// Recovery codes that are on the page: nothing else is, until they are kept.
let keeping = false;

async function fillFactor(me, left) {
  const factor = await ask("GET", "/session/second-factor");
  const isOn = factor.since_ns !== null;
  const codes = factor.recovery_codes_left;
  at("factor-owed").hidden = !me.owes_second_factor;
  at("factor-state").textContent = isOn
    ? `On since ${moment(factor.since_ns)}; ${codes === 1 ? "1 recovery code is" : `${codes || "no"} recovery codes are`} left.`
    : "";
  at("factor-state").hidden = !isOn || keeping;
  at("begin-factor").hidden = isOn || !at("prove-factor").hidden;
  at("begin-password-asked").hidden = at("begin-password").disabled = left > 0;
  at("remove-factor").hidden = !isOn || keeping;
}

async function fill() {
  const me = await ask("GET", "/session");
  csrf = me.csrf;
  at("who").textContent = `${me.name}, ${me.role}`;
  askForCode(me.has_second_factor);
  const onlyFactor = me.owes_second_factor || keeping;
  for (const part of document.querySelectorAll("[data-later]")) part.hidden = onlyFactor;
  at("way-back").hidden = onlyFactor;
  // A key has at most what its person has, and never looks after people.
  for (const box of document.querySelectorAll("#make-key input[name=scope]")) {
    box.closest("label").hidden = box.disabled = !me.scopes.includes(box.value);
  }
  const left = Math.round((me.step_up_until_ns / 1e6 - Date.now()) / 60000);
  at("step-state").textContent = left > 0 ? `Confirmed for another ${left} min.` : "";
  await fillFactor(me, left);
  if (onlyFactor) return;
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

wayBack();
on("step-up", async ({ password, code }, form) => {
  csrf = (await ask("POST", "/session/step-up", { password, code })).csrf;
  form.reset();
  await fill();
  const back = at("back");
  if (back.dataset.asked) back.focus();
});
on("begin-factor", async ({ password }, form) => {
  if (password !== undefined) csrf = (await ask("POST", "/session/step-up", { password })).csrf;
  const begun = await ask("POST", "/session/second-factor");
  if (!begun.secret) throw new Error("It was told before, and is told once: press the button again.");
  form.reset();
  at("factor-picture").src = begun.picture;
  at("factor-address").href = begun.address;
  at("factor-secret").textContent = begun.secret;
  at("prove-factor").hidden = false;
  await fill();
  at("first-code").focus();
});
on("prove-factor", async ({ code }, form) => {
  const codes = (await ask("POST", "/session/second-factor/proof", { code })).recovery_codes ?? [];
  form.reset();
  form.hidden = true;
  at("factor-picture").removeAttribute("src");
  at("factor-address").removeAttribute("href");
  at("factor-secret").textContent = "";
  at("recovery-codes").replaceChildren(...codes.map((one) => {
    const line = document.createElement("li");
    line.textContent = one;
    return line;
  }));
  keeping = codes.length > 0;
  at("recovery").hidden = !keeping;
  await fill();
  at("kept").focus();
});
at("kept").addEventListener("click", async () => {
  keeping = false;
  at("recovery").hidden = true;
  at("recovery-codes").replaceChildren();
  if (next() && ours(next())) location.replace(after());
  else await fill().catch((wrong) => { at("said").textContent = wrong.message; });
});
on("remove-factor", async () => {
  await ask("DELETE", "/session/second-factor");
  await fill();
});
on("make-key", async (said, form) => {
  const scopes = new FormData(form).getAll("scope");
  const networks = said.networks.split(/[\s,]+/).filter(Boolean);
  const made = await ask("POST", "/keys", { label: said.label, scopes, days: Number(said.days), networks });
  at("new-key").textContent = made.key ?? "It was made before, and a key is told once: revoke it, and make another.";
  form.reset();
  await fill();
});
on("change-password", async ({ old, new: wanted, code }, form) => {
  csrf = (await ask("POST", "/session/password", { old, new: wanted, code })).csrf;
  form.reset();
  await fill();
});
at("sign-out").addEventListener("click", async () => {
  await ask("DELETE", "/session");
  location.replace("/login");
});
fill().catch((wrong) => { at("said").textContent = wrong.message; });
