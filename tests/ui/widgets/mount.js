// Draws one widget in a shadow root and stands in for its model.
window.models = {};
window.mount = async (name, script, style, traits) => {
  const heard = new Map();
  const binary = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const bytes = (value) => {
    if (!value || typeof value !== "object" || Array.isArray(value)) return value;
    if (value.base64 !== undefined) return binary(value.base64);
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, bytes(inner)]));
  };
  const state = Object.fromEntries(Object.entries(traits).map(([key, value]) => [key, bytes(value)]));
  const model = {
    said: [],
    written: {},
    get: (key) => state[key],
    set: (key, value) => { state[key] = value; model.written[key] = value; },
    save_changes: () => {},
    send: (content) => model.said.push(content),
    on: (event, call) => heard.set(event, [...(heard.get(event) ?? []), call]),
    off: (event, call) => heard.set(event, (heard.get(event) ?? []).filter((other) => other !== call)),
    fire: (event, content) => { for (const call of heard.get(event) ?? []) call(content); },
    listeners: () => [...heard.values()].flat().length,
    change: (key, value) => { state[key] = bytes(value); model.fire(`change:${key}`, undefined); },
  };
  const host = document.createElement("div");
  host.id = name;
  document.getElementById("all").append(host);
  const root = host.attachShadow({ mode: "open" });
  const sheet = document.createElement("style");
  sheet.textContent = await (await fetch(style)).text();
  const el = document.createElement("div");
  root.append(sheet, el);
  const { default: widget } = await import(script);
  model.close = widget.render({ model, el });
  window.models[name] = model;
};
