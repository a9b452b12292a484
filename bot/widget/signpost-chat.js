/* Signpost chat, one custom element. Text is only ever set as text; nothing is stored unless data-remember is given. */
(() => {
"use strict";
const script = document.currentScript;
if (customElements.get("signpost-chat")) return;

/* What the button says before anything is fetched. */
const OPEN = { ar: "اطرح سؤالًا", de: "Eine Frage stellen", es: "Haz una pregunta", fr: "Poser une question" };
const EN = {
  lang: "en",
  dir: "ltr",
  open: "Ask a question",
  close: "Close",
  restart: "Start over",
  restart_sure: "Clear this conversation?",
  clear: "Clear it",
  keep: "Keep it",
  log: "Conversation",
  you: "You asked:",
  label: "Your question",
  ask: "Ask",
  privacy: "Do not share names or contact details.",
  left: "Characters left: {n}",
  over: "Characters too many: {n}",
  personal: "This may hold contact details. They are not needed for an answer.",
  ask_anyway: "Ask anyway",
  greeting: "Ask in your own words. Answers are quotes from documents, each with its source.",
  starters: "For example:",
  searching: "Looking in the documents",
  answered: "Answer",
  unsure: "This may answer your question. Please check the source.",
  not_found: "These documents do not seem to answer this.",
  said: "Answer. Sources: {n}",
  said_unsure: "Possible answer. Sources: {n}",
  said_none: "No answer found.",
  checked: "Quoted word for word. Please check the source.",
  source: "Source {n}",
  more: "More passages: {n}",
  nearest: "Nearest passages, which may not help: {n}",
  back: "Back to the answer",
  published: "Published {date}",
  updated: "Updated {date}",
  page: "Page {n}",
  read: "Read it in the document",
  go: "Go to the source",
  new_tab: "opens in a new tab",
  also: "Also in:",
  copy: "Copy the quote",
  copied: "Copied",
  copy_by_hand: "Select and copy the text below.",
  helpful: "Helpful",
  unhelpful: "Not helpful",
  searched: "Searched for “{searched}” instead of “{written}”.",
  borrowed: "Read together with what you asked before: {words}.",
  alone: "Ask it on its own",
  unknown: "Words that the documents never use: {words}.",
  try_other: "Try other words, or a shorter question.",
  try_these: "These have an answer:",
  offline: "You are offline. Your question is kept.",
  network: "The service cannot be reached. Your question is kept.",
  busy: "Too many questions came at once. Please wait a little.",
  unready: "The service is not ready yet. Please wait a little.",
  slow: "The answer took too long. Please try again.",
  refused: "This question cannot be asked. Please change it.",
  failed: "Something went wrong there. Please try again.",
  retry: "Try again",
  retry_in: "You can try again in {n} s",
};

/* What the button needs; whatever else there is waits until the panel is opened. */
const BASE = `:host{--ink:var(--signpost-ink,#1b1f24);--accent:var(--signpost-accent,#0b57a4);--on-accent:var(--signpost-on-accent,#fff)}
@media(prefers-color-scheme:dark){:host(:not([data-theme=light])){--ink:var(--signpost-dark-ink,#e8ebee);--accent:var(--signpost-dark-accent,#8dc3ff);--on-accent:var(--signpost-dark-on-accent,#0d1a26);color-scheme:dark!important}}
:host([data-theme=dark]){--ink:var(--signpost-dark-ink,#e8ebee);--accent:var(--signpost-dark-accent,#8dc3ff);--on-accent:var(--signpost-dark-on-accent,#0d1a26);color-scheme:dark!important}
:host{all:initial!important;display:block!important;position:static!important;font-size:medium!important;color-scheme:light!important;
--r:var(--signpost-radius,.6em);--x:var(--signpost-offset-x,1em);--y:var(--signpost-offset-y,1em)}
:host(:not([inline])){position:fixed!important;inset:0 auto auto 0!important;width:0!important;height:0!important}
:host([hidden]),[hidden]{display:none!important}
*{box-sizing:border-box}
.root{font:1em/1.5 var(--signpost-font,system-ui,sans-serif);color:var(--ink);text-align:start;overflow-wrap:anywhere}
.float{position:fixed;inset-block:auto 0;inset-inline:auto 0;z-index:2147483647;margin:0;padding:0;border:0;
background:none;color:inherit;overflow:visible;width:auto;height:auto}
.float[data-side=start]{inset-inline:0 auto}
button,textarea{font:inherit;color:inherit;letter-spacing:inherit;word-spacing:inherit}
button{min-height:44px;min-width:44px;padding:.4em .9em;
border:2px solid var(--accent);border-radius:var(--r);background:var(--paper);color:var(--accent);cursor:pointer;text-align:start}
.main{background:var(--accent);color:var(--on-accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
.main:focus-visible{outline-color:var(--ink)}
.launch{position:fixed;inset-block-end:calc(var(--y) + env(safe-area-inset-bottom));inset-inline-end:calc(var(--x) + env(safe-area-inset-right));
border-color:var(--on-accent);box-shadow:var(--signpost-shadow,0 2px 10px #0006)}
[data-side=start] .launch{inset-inline:calc(var(--x) + env(safe-area-inset-left)) auto}
.launch.away{opacity:0;pointer-events:none}`;
const CSS = `:host{--paper:var(--signpost-paper,#fff);--soft:var(--signpost-soft,#eef2f5);--line:var(--signpost-line,#6f7b86);--mark:var(--signpost-mark,#fff0a8);--mark-ink:var(--signpost-mark-ink,#1b1f24);--warn:var(--signpost-warn,#a3200d)}
@media(prefers-color-scheme:dark){:host(:not([data-theme=light])){--paper:var(--signpost-dark-paper,#15191d);--soft:var(--signpost-dark-soft,#242b32);--line:var(--signpost-dark-line,#8794a1);--mark:var(--signpost-dark-mark,#5b4b00);--mark-ink:var(--signpost-dark-mark-ink,#fff8d9);--warn:var(--signpost-dark-warn,#ffb4a6)}}
:host([data-theme=dark]){--paper:var(--signpost-dark-paper,#15191d);--soft:var(--signpost-dark-soft,#242b32);--line:var(--signpost-dark-line,#8794a1);--mark:var(--signpost-dark-mark,#5b4b00);--mark-ink:var(--signpost-dark-mark-ink,#fff8d9);--warn:var(--signpost-dark-warn,#ffb4a6)}
[aria-disabled=true]{cursor:default;border-style:dashed}
a{color:var(--accent);display:inline-block;padding:.5em 0;min-height:24px}
.panel{display:flex;flex-direction:column;background:var(--paper);position:relative}
.float .panel{position:fixed;inset-block-end:calc(var(--y) + env(safe-area-inset-bottom));inset-inline-end:var(--x);
width:min(var(--signpost-width,26em),100vw - 2*var(--x));height:min(var(--signpost-height,42em),100dvh - 2*var(--y));
border:1px solid var(--line);border-radius:var(--r);box-shadow:var(--signpost-shadow,0 4px 24px #0006);overflow:hidden}
[data-side=start] .panel{inset-inline:var(--x) auto}
.inline .log{flex:none;overflow:visible}
.inline .log *{scroll-margin-block-end:12em}
.inline form{position:sticky;inset-block-end:0;background:var(--paper)}
.head{display:flex;flex-wrap:wrap;align-items:center;gap:.25em .5em;padding:.4em .75em;border-block-end:1px solid var(--line)}
h2{font-size:1.1em;margin:0;flex:1 1 6em}
h3{font-size:1em;margin:0}
.head button,.tools button,.quiet{border-color:transparent;padding-inline:0;text-decoration:underline}
.head button{padding-inline:.5em}
.log{flex:1 1 auto;overflow:auto;padding:.75em;overscroll-behavior:contain}
.log:focus-visible,.card:focus-visible{outline-offset:-3px}
ol{list-style:none;margin:0;padding:0}
p{margin:.4em 0}
.asked{background:var(--soft);border-radius:var(--r);padding:.5em .75em;margin-block:1.25em .6em;white-space:pre-wrap}
.status{font-weight:700}
blockquote{margin:.5em 0;padding-inline-start:.75em;border-inline-start:4px solid var(--line);white-space:pre-line}
mark{background:var(--mark);color:var(--mark-ink);text-decoration:underline 2px;text-underline-offset:3px}
.card{margin:.75em 0;padding:.6em .75em;border:1px solid var(--line);border-radius:var(--r)}
.small{font-size:.9em}
.meta span+span::before{content:" · "}
.cite{padding:0 .4em;font-weight:700;text-align:center}
.tools,.row{display:flex;flex-wrap:wrap;gap:.1em 1em;align-items:center}
.row{gap:.5em}
.column{display:flex;flex-direction:column;align-items:flex-start;gap:.5em}
summary{cursor:pointer;padding:.6em 0;min-height:44px}
.warn{color:var(--warn);font-weight:700}
form{border-block-start:1px solid var(--line);padding:.6em .75em;padding-block-end:calc(.6em + env(safe-area-inset-bottom))}
label{display:block;font-weight:700;margin-block-end:.3em}
.field{display:flex;gap:.5em;align-items:flex-end}
textarea{flex:1;min-width:0;min-height:44px;max-height:9em;padding:.5em;background:var(--paper);border:2px solid var(--line);
border-radius:var(--r);resize:none}
.asked,.tools *{position:relative}
.unseen.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media(max-width:30em),(max-height:22em){.float .panel{inset:0;width:auto;height:100dvh;border:0;border-radius:0}}
@media(max-height:30em){.panel{overflow:auto!important}.log{flex:none;overflow:visible}.inline form{position:static}}
.short.short{overflow:auto}.short .log{flex:none;overflow:visible}
@media(forced-colors:active){mark{background:Mark;color:MarkText;forced-color-adjust:none}.asked{border:1px solid}}
@media print{form,button,summary{display:none}.tools a::after{content:" "attr(href)}.float{position:absolute;inset:0 0 auto}.float .panel{position:static;width:auto;height:auto;overflow:visible}.log{overflow:visible}}`;

const ANNOUNCER = "display:block;visibility:visible;position:fixed;inset:0 auto auto 0;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;";

const WAIT = 15000;
const DATES = /(?:19|20)\d\d[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./](?:19|20)\d\d|\b(?:19|20)\d\d\b/g;
const personal = (text) =>
  /[^\s@]+@[^\s@]+\.\p{L}{2}/u.test(text) ||
  (text.match(/\p{Nd}(?:[\s()./-]{0,3}\p{Nd}){8,}/gu) || []).some((run) => run.replace(DATES, "").replace(/\P{Nd}/gu, "").length > 4);
const KEY = "signpost-chat";

/* By hand: JSON.stringify obeys the toJSON that old libraries give to arrays and strings. */
const quoted = (text) =>
  '"' + text.replace(/["\\\u0000-\u001f\u2028\u2029\ud800-\udfff]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0")) + '"';
const json = (value) => {
  if (typeof value === "string") return quoted(value);
  if (value === null || typeof value !== "object") return String(value);
  const list = Array.isArray(value);
  const inside = Object.keys(value).map((name) => (list ? "" : quoted(name) + ":") + json(value[name])).join(",");
  return list ? "[" + inside + "]" : "{" + inside + "}";
};

const styles = (rules) => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(rules);
  return sheet;
};

const make = (tag, options, ...children) => {
  const node = document.createElement(tag);
  for (const name of Object.keys(options || {})) {
    const value = options[name];
    if ((value ?? false) === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else if (name === "text") node.textContent = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children) if (child) node.appendChild(typeof child === "string" ? document.createTextNode(child) : child);
  return node;
};

const press = (text, click, options, ...children) => make("button", { type: "button", text, click, ...options }, ...children);

/* A web address without a user name; with a base, one of the same origin. */
const web = (address, base) => {
  try {
    const url = new URL(address, base);
    const fine = /^https?:$/.test(url.protocol) && !url.username && !url.password;
    return fine && (!base || url.origin === new URL(base).origin) ? url.href : null;
  } catch {
    return null;
  }
};

const light = (colour) => {
  const paint = document.createElement("canvas").getContext("2d"); // knows every way to write a colour
  paint.fillStyle = colour;
  paint.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((part) => (part <= 10 ? part / 3294.6 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
};

let ids = 0;

class SignpostChat extends HTMLElement {
  #text = EN;
  #turns = [];
  #asking = null;
  #limit = 1000;
  #feedback = false;
  #inert = [];
  #timer = 0;
  #personal = "";

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [styles(BASE)];
  }

  connectedCallback() {
    if (this.$root) {
      if (this.$announcer) this.after(this.$announcer);
      this.$box?.showPopover?.();
      return;
    }
    this.$inline = this.hasAttribute("inline");
    const near = this.#setting("lang") || this.closest("[lang]")?.lang || "en";
    this.$lang = /^[a-z]{2,3}\b/.exec(near.toLowerCase())?.[0] || "en";
    const theme = this.#setting("theme");
    if (theme) this.setAttribute("data-theme", theme);
    this.$root = make("div", { class: "root", lang: OPEN[this.$lang] ? this.$lang : "en", dir: this.$lang === "ar" ? "rtl" : "ltr" });
    this.shadowRoot.appendChild(this.$root);
    this.$listen = new AbortController();
    this.#on(document, "click", (event) => {
      if (event.target instanceof Element && event.target.closest('a[href="#signpost-chat"]')) this.open();
    });
    if (this.$inline) return this.#load();
    this.#float();
    this.#on(document, "focusin", (event) => this.#uncover(event.target));
    this.#on(document, "focusout", () => this.#uncover(null));
    if (location.hash === "#signpost-chat") this.open();
  }

  disconnectedCallback() {
    queueMicrotask(() => {
      if (this.isConnected || !this.$root) return; // moved, not removed
      this.#drop();
      this.#modal(false);
      this.$listen.abort();
      this.$announcer?.remove();
      this.$root.remove();
      this.$root = this.$panel = this.$launch = this.$ready = this.$begun = null;
    });
  }

  /* These three are the page's to call. */

  async open() {
    if (this.$inline) return this.$input?.focus();
    await this.#load();
    if (!this.$panel?.hidden) return this.$input?.focus();
    this.#toggle(true);
    this.#fit();
    this.$input.focus();
    this.#begin();
    this.#tell("open");
  }

  close() {
    if (this.$inline || !this.$panel || this.$panel.hidden) return;
    this.#toggle(false);
    this.#modal(false);
    this.$launch.focus();
    this.#tell("close");
  }

  restart() {
    this.#drop();
    try {
      sessionStorage.removeItem(KEY);
    } catch {}
    if (!this.$panel) return;
    this.$list.replaceChildren();
    this.$intro.hidden = false;
    this.$sure.hidden = true;
    this.$input.value = "";
    this.#count();
    this.$input.focus();
  }

  #toggle(open) {
    this.$panel.hidden = !open;
    this.$launch.hidden = open;
    this.$launch.setAttribute("aria-expanded", String(open));
  }

  #drop() {
    this.#asking?.abort();
    this.#asking = null;
    this.#turns = [];
  }

  #setting(name) {
    return this.getAttribute(name) ?? script?.getAttribute("data-" + name) ?? null;
  }

  #on(target, name, act) {
    target.addEventListener(name, act, { signal: this.$listen.signal });
  }

  #say(name, values) {
    return String(this.#text[name] ?? EN[name]).replace(/\{(\w+)\}/g, (_, key) => values?.[key] ?? "");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent("signpost-" + name, { bubbles: true, composed: true, detail }));
  }

  #announce(text) {
    if (!this.$announcer.isConnected) this.after(this.$announcer);
    clearTimeout(this.#timer);
    this.$announcer.textContent = "";
    this.#timer = setTimeout(() => (this.$announcer.textContent = text), 100);
  }

  #float() {
    const label = this.#setting("label") || OPEN[this.$lang] || EN.open;
    this.$launch = press(label, () => this.open(), { class: "launch main", part: "launcher", "aria-expanded": "false", "aria-haspopup": "dialog" });
    this.$box = make("div", { class: "float", popover: "manual", "data-side": this.#setting("side") }, this.$launch);
    this.$root.appendChild(this.$box);
    this.$box.showPopover?.(); // the top layer: above any z-index
  }

  /* What cannot be fetched is done without. */
  #load() {
    this.$ready ??= (async () => {
      const root = this.$root;
      let base = location.href;
      try {
        base = new URL(this.#setting("api") || new URL("..", script.src), base).href;
      } catch {
        console.warn("signpost-chat: data-api is no address");
      }
      this.$api = base.endsWith("/") ? base : base + "/";
      this.$announcer = make("div", { "aria-live": "polite", "data-signpost-announcer": true });
      this.$announcer.style.cssText = ANNOUNCER.replaceAll(";", "!important;");
      this.after(this.$announcer);
      this.#begin();
      const strings = this.#setting("strings") || (this.$lang !== "en" && "widget/strings/" + this.$lang + ".json");
      if (strings) {
        const table = await Promise.race([this.#get(strings).catch(() => null), new Promise((go) => setTimeout(go, 1500))]);
        if (root !== this.$root) return;
        if (table && typeof table === "object") this.#text = table;
      }
      root.lang = this.#say("lang");
      root.dir = this.#say("dir");
      this.#panel();
      for (const name of ["offline", "online"]) this.#on(window, name, () => this.#connection());
      for (const name of ["resize", "scroll"]) if (window.visualViewport) this.#on(window.visualViewport, name, () => this.#fit());
    })();
    return this.$ready;
  }

  /* Tried until it was had: at each opening, and when the line is back. */
  async #begin() {
    if (this.$begun) return;
    const begun = (this.$begun = {}); // of this time on the page
    try {
      const found = await this.#get("v1/suggestions");
      await this.$ready;
      if (begun === this.$begun) this.#introduce(found || {});
    } catch {
      if (begun === this.$begun) this.$begun = null;
    }
  }

  #fetch(path, signal, body) {
    const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: json(body) };
    return fetch(new URL(path, this.$api), { credentials: "omit", referrerPolicy: "no-referrer", signal, ...sent });
  }

  async #get(path) {
    const reply = await this.#fetch(path, AbortSignal.timeout?.(WAIT));
    if (!reply.ok) throw new Error(reply.status);
    return reply.json();
  }

  #panel() {
    if (this.shadowRoot.adoptedStyleSheets.length < 2) this.shadowRoot.adoptedStyleSheets = [...this.shadowRoot.adoptedStyleSheets, styles(CSS)];
    const id = "t" + ++ids;
    const button = (name, act, options) => press(this.#say(name), act, options);
    this.$title = make("h2", { id, text: this.#say("open"), dir: "auto" });
    this.$sure = make("div", { class: "row", hidden: true },
      make("span", { text: this.#say("restart_sure") }),
      button("clear", () => this.restart()),
      button("keep", () => { this.$sure.hidden = true; this.$restart.focus(); }));
    this.$restart = button("restart", () => this.#sure());
    this.$list = make("ol", {});
    this.$intro = make("div", { class: "column" }, make("p", { text: this.#say("greeting"), dir: "auto" }));
    this.$log = make("div", { class: "log", part: "log", role: "log", "aria-live": "off", "aria-label": this.#say("log"), tabindex: "0" }, this.$intro, this.$list);
    this.$input = make("textarea", { id: id + "q", part: "input", rows: "2", dir: "auto", autocomplete: "off", "aria-describedby": id + "p " + id + "c", input: () => this.#count(), keydown: (event) => this.#key(event) });
    this.$count = make("p", { class: "small", id: id + "c", hidden: true });
    this.$notice = make("div", { class: "row", role: "status" });
    const form = make("form", { part: "composer", novalidate: true, submit: (event) => { event.preventDefault(); this.#submit(); } },
      make("label", { for: id + "q", text: this.#say("label") }),
      make("div", { class: "field" }, this.$input, (this.$send = make("button", { class: "main", part: "send", text: this.#say("ask") }))),
      this.$count, this.$notice,
      make("p", { class: "small", id: id + "p", text: this.#say("privacy") }));
    this.$panel = make("section", { class: "panel", part: "panel", role: this.$inline ? "region" : "dialog", "aria-labelledby": id, hidden: !this.$inline, keydown: (event) => this.#move(event) },
      make("div", { class: "head", part: "header" }, this.$title, this.$restart, !this.$inline && button("close", () => this.close(), { class: "close" }), this.$sure),
      this.$log,
      make("div", { class: "help", part: "help", hidden: true }), // help contacts have their place here
      form);
    (this.$box || this.$root).appendChild(this.$panel);
    if (this.$inline) this.replaceChildren(); // was for those without scripts
    this.$panel.classList.toggle("inline", this.$inline);
    this.#restore();
    this.#connection();
    try {
      this.#check();
    } catch {} // no canvas
  }

  #introduce(found) {
    if (!this.$panel) return;
    if (found.name) this.$title.textContent = found.name;
    if (found.greeting) this.$intro.firstChild.textContent = found.greeting;
    if (Number.isInteger(found.limit)) this.#limit = found.limit;
    this.#feedback = found.feedback === true;
    this.$intro.appendChild(this.#starters(found.suggestions, "starters"));
  }

  #starters(questions, label) {
    const column = make("div", { class: "column" });
    for (const question of Array.isArray(questions) ? questions.slice(0, 4) : [])
      column.appendChild(press(String(question), () => this.#asking || this.#again(this.#entry(String(question))), { dir: "auto" }));
    if (column.firstChild) column.prepend(make("p", { text: this.#say(label) }));
    return column;
  }

  #sure() {
    if (this.#turns.length < 2) return this.restart();
    this.$sure.hidden = false;
    this.$sure.querySelector("button").focus();
  }

  #check() {
    for (const [name, over, under] of [["ink on paper", this.$panel, this.$panel], ["accent on paper", this.$restart, this.$panel], ["on-accent on accent", this.$send, this.$send]])
      if (contrast(getComputedStyle(over).color, getComputedStyle(under).backgroundColor) < 4.5) console.warn("signpost-chat: the contrast of " + name + " is below 4.5");
  }

  #move(event) {
    if (event.key === "Escape" && !event.isComposing && !this.$inline) {
      event.stopPropagation();
      this.close();
    } else if (event.key === "F6") {
      event.preventDefault();
      (this.shadowRoot.activeElement === this.$input ? this.$log : this.$input).focus();
    }
  }

  /* A small screen is filled as far as the keyboard leaves it, and the page behind cannot be reached. */
  #fit() {
    if (!this.$panel || this.$inline) return;
    const small = !this.$panel.hidden && matchMedia("(max-width:30em),(max-height:22em)").matches;
    const view = window.visualViewport;
    const keyboard = small && view && view.scale === 1 && view.height < innerHeight - 1;
    this.$panel.style.height = keyboard ? view.height + "px" : "";
    this.$panel.style.top = keyboard ? view.offsetTop + "px" : "";
    this.$panel.classList.toggle("short", Boolean(keyboard) && view.height < 340);
    if (keyboard && this.shadowRoot.activeElement === this.$input) this.$input.scrollIntoView({ block: "nearest" });
    this.#modal(small);
  }

  #modal(yes) {
    for (const node of this.#inert) node.inert = false;
    this.#inert = [];
    if (!yes) return;
    for (let inner = this; inner !== document.body && inner.parentNode; inner = inner.parentNode)
      for (const node of inner.parentNode.children || [])
        if (node !== inner && node !== this.$announcer && !node.inert) {
          node.inert = true;
          this.#inert.push(node);
        }
  }

  /* The button makes way for what has the focus (WCAG 2.4.11). */
  #uncover(focused) {
    if (!this.$launch) return;
    let covers = false;
    if (focused instanceof Element && focused !== this) {
      const one = focused.getBoundingClientRect();
      const other = this.$launch.getBoundingClientRect();
      covers = one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;
    }
    this.$launch.classList.toggle("away", covers);
  }

  #key(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this.#submit();
  }

  #count() {
    const left = this.#limit - [...this.$input.value].length;
    const near = left <= this.#limit / 5;
    const text = near ? this.#say(left < 0 ? "over" : "left", { n: Math.abs(left) }) : "";
    const state = left < 0 ? "warn small" : "small";
    if (near && (this.$count.hidden || this.$count.className !== state)) this.#announce(text);
    this.$count.className = state;
    this.$count.hidden = !near;
    this.$count.textContent = text;
    if (this.#personal) this.#notice();
  }

  #notice(name, action, act) {
    this.#personal = "";
    this.$notice.replaceChildren();
    if (name) this.$notice.appendChild(make("span", { class: "warn", text: this.#say(name) }));
    if (action) this.$notice.appendChild(press(this.#say(action), act));
  }

  #connection() {
    if (navigator.onLine) this.#begin();
    this.#notice(navigator.onLine ? null : "offline");
  }

  #submit(sure) {
    const question = this.$input.value.trim();
    if (this.#asking) return this.#announce(this.#say("searching"));
    if (!question || [...question].length > this.#limit) return;
    if (personal(question) && !sure) {
      this.#notice("personal", "ask_anyway", () => { this.$input.focus(); this.#submit(true); });
      this.#personal = question;
      return;
    }
    this.#notice();
    this.$input.value = "";
    this.#count();
    this.#run(this.#entry(question));
  }

  #entry(question) {
    const turn = { question, place: make("div", { part: "answer" }) };
    this.$intro.hidden = true;
    turn.item = make("li", {},
      make("p", { class: "asked", part: "question" }, make("span", { class: "unseen", text: this.#say("you") + " " }), make("bdi", { dir: "auto", text: question })),
      turn.place);
    this.$list.appendChild(turn.item);
    this.#show(turn.item);
    return turn;
  }

  #show(item) {
    if (this.$inline) item.scrollIntoView({ block: "nearest" });
    else this.$log.scrollTop = item.offsetTop - this.$log.offsetTop;
  }

  #again(turn, alone) {
    if (this.#asking) return;
    this.$input.focus();
    this.#run(turn, alone);
  }

  async #run(turn, alone) {
    const asking = (this.#asking = new AbortController());
    turn.place.replaceChildren();
    const kept = turn.reply;
    const known = this.#turns.indexOf(turn);
    /* Asked again, it stays in place. */
    const at = this.#turns.filter((one) => one.item.compareDocumentPosition(turn.item) & Node.DOCUMENT_POSITION_FOLLOWING).length;
    const before = this.#turns.slice(0, at);
    const turns = alone ? [] : before.slice(-4).map((one) => ({ question: one.question, passages: one.reply.passages.map((passage) => passage.id).filter((id) => typeof id === "string") }));
    const slow = setTimeout(() => {
      turn.place.replaceChildren(make("p", { text: this.#say("searching") }));
      this.#announce(this.#say("searching"));
    }, 500);
    let late = false;
    const limit = setTimeout(() => { late = true; asking.abort(); }, WAIT);
    let fault = null;
    let wait = 0;
    try {
      const reply = await this.#fetch("v1/ask", asking.signal, { question: turn.question, turns });
      const after = reply.headers.get("Retry-After"); // seconds, or a date (RFC 9110)
      wait = Math.min(600, Math.ceil(Number(after) || (Date.parse(after) - Date.now()) / 1000) || 0);
      if (reply.ok)
        turn.reply = await reply.json().catch((error) => {
          if (asking.signal.aborted) throw error;
          return null;
        });
      else fault = (await reply.text()).includes("Overloaded") ? "busy" : { 422: "refused", 429: "busy", 503: "unready" }[reply.status] || "failed";
    } catch {
      fault = late ? "slow" : navigator.onLine ? "network" : "offline";
    }
    clearTimeout(slow);
    clearTimeout(limit);
    if (this.#asking !== asking) return; // started over meanwhile
    this.#asking = null;
    if (!fault)
      try {
        this.#put(turn, this.#answer(turn));
      } catch {
        fault = "failed";
      }
    if (fault) { turn.reply = kept; return this.#failed(turn, fault, wait, alone); }
    if (known < 0) this.#turns.splice(at, 0, turn);
    this.#show(turn.item);
    const said = { answered: "said", unsure: "said_unsure" }[turn.reply.status] || "said_none";
    this.#announce(this.#say(said, { n: turn.reply.passages.length }));
    this.#keep();
    this.#tell("answer", { status: turn.reply.status });
  }

  #put(turn, shown) {
    turn.shown = [...shown.childNodes];
    turn.place.replaceChildren(shown);
  }

  /* Question and earlier answer stay; one press asks again, after the time that the service named. */
  #failed(turn, fault, wait, alone) {
    clearTimeout(this.#timer);
    this.$announcer.textContent = "";
    const again = press("", () => left > 0 || this.#again(turn, alone));
    let left = wait;
    const tick = () => {
      again.textContent = this.#say(left > 0 ? "retry_in" : "retry", { n: left });
      again.setAttribute("aria-disabled", String(left > 0));
      if (left > 0 && turn.item.isConnected) setTimeout(() => { left--; tick(); }, 1000);
    };
    tick();
    turn.place.replaceChildren(make("p", { class: "warn", role: "alert", text: this.#say(fault) }), again, ...(turn.shown || []));
    if (fault === "refused") this.$input.value ||= turn.question;
    this.#show(turn.item);
  }

  #keep() {
    try {
      if (this.#setting("remember") !== null) sessionStorage.setItem(KEY, json(this.#turns.map(({ question, reply }) => ({ question, reply }))));
    } catch {}
  }

  #restore() {
    if (this.#setting("remember") === null) return;
    try {
      for (const kept of JSON.parse(sessionStorage.getItem(KEY)) || []) {
        const shown = this.#answer(kept);
        const turn = this.#entry(String(kept.question));
        turn.reply = kept.reply;
        this.#put(turn, shown);
        this.#turns.push(turn);
      }
    } catch {}
  }

  #answer(turn) {
    const { reply } = turn;
    const found = reply.status === "answered" || reply.status === "unsure";
    const say = (name, values, options) => make("p", { text: this.#say(name, values), ...options });
    const all = document.createDocumentFragment();
    const add = (...nodes) => all.append(...nodes.filter(Boolean));
    add(say(found ? reply.status : "not_found", {}, { class: "status" }));
    for (const changed of [...reply.corrections, ...reply.expansions]) add(say("searched", changed, { class: "small" }));
    if (reply.borrowed.length)
      add(make("div", { class: "row small" }, make("span", { text: this.#say("borrowed", { words: reply.borrowed.join(", ") }) }),
        press(this.#say("alone"), () => this.#again(turn, true), { class: "quiet" })));
    for (const note of reply.notes) add(make("p", { text: note, lang: "en", dir: "auto" }));
    const cites = make("p", { class: "row" });
    const cards = [];
    reply.passages.slice(0, found ? 20 : 3).forEach((passage, at) => {
      const cite = found && press(String(at + 1), () => {
        card.closest("details")?.setAttribute("open", "");
        card.focus();
        card.scrollIntoView({ block: "nearest" });
      }, { class: "cite", part: "citation", "aria-label": this.#say("source", { n: at + 1 }) + ": " + passage.citation.title });
      if (cite) cites.appendChild(cite);
      const card = this.#card(passage, at + 1, cite);
      cards.push(card);
    });
    if (found) {
      const language = reply.passages[0].citation.language;
      add(make("blockquote", { part: "quote", dir: "auto", lang: language, text: reply.answer.text }), cites, cards[0]);
      if (cards.length > 1) add(make("details", {}, make("summary", { text: this.#say("more", { n: cards.length - 1 }) }), ...cards.slice(1)));
      add(say("checked", {}, { class: "small" }), this.#feedback && this.#thumbs(reply));
    } else {
      if (reply.unknown_words.length) add(say("unknown", { words: reply.unknown_words.join(", ") }));
      add(say("try_other"), this.#starters(reply.suggestions, "try_these"));
      if (cards.length) add(make("details", {}, make("summary", { text: this.#say("nearest", { n: cards.length }) }), ...cards));
    }
    return all;
  }

  #card(passage, number, cite) {
    const { citation, text } = passage;
    const id = "c" + ++ids;
    const meta = make("p", { class: "meta small" });
    for (const value of [citation.headings.filter((heading) => heading !== citation.title).join(" › "), citation.publisher, this.#day(citation), citation.page && this.#say("page", { n: citation.page })])
      if (value) meta.appendChild(make("span", {}, make("bdi", { text: value })));
    const quote = make("blockquote", { dir: "auto", lang: citation.language || "" });
    const letters = [...text]; // places count code points
    let at = 0;
    for (const { start, end } of passage.highlights) {
      quote.append(letters.slice(at, start).join(""), make("mark", { part: "mark", text: letters.slice(start, end).join("") }));
      at = end;
    }
    quote.append(letters.slice(at).join(""));
    const viewer = this.#viewer(citation);
    const source = web(citation.links.source_at_passage || citation.links.source || "");
    const tools = make("div", { class: "tools" }, this.#link("read", viewer, citation.title), this.#link("go", source, citation.title));
    const copy = press(this.#say("copy"), () => this.#copy(passage, source || viewer, copy), {}, make("span", { class: "unseen" }, ": ", make("bdi", { lang: citation.language || "", text: citation.title })));
    tools.appendChild(copy);
    if (cite) tools.appendChild(press(this.#say("back"), () => cite.focus()));
    const card = make("article", { class: "card", part: "card", tabindex: "-1", "aria-labelledby": id },
      make("h3", { id, lang: citation.language || "" }, number + ". ", make("bdi", { text: citation.title })), meta, quote, tools);
    if (passage.elsewhere.length) {
      const also = make("p", { class: "small" }, this.#say("also"));
      for (const other of passage.elsewhere) also.append(" ", make("a", { href: this.#viewer(other), target: "_blank", rel: "noopener noreferrer" }, other.title, make("span", { class: "unseen", text: ", " + this.#say("new_tab") })));
      card.appendChild(also);
    }
    return card;
  }

  #viewer(citation) {
    return web(String(citation.links.viewer).replace(/^\/+/, ""), this.$api);
  }

  #link(name, href, title) {
    return href && make("a", { href, target: "_blank", rel: "noopener noreferrer", part: "link" }, this.#say(name), make("span", { class: "unseen", text: ": " + title + ", " + this.#say("new_tab") }));
  }

  #day(citation) {
    const name = citation.updated ? "updated" : "published";
    const day = new Date(citation[name] + "T00:00:00Z");
    if (isNaN(day)) return null;
    let date = citation[name];
    try {
      date = new Intl.DateTimeFormat(this.#say("lang").replace(/^en$/, "en-GB"), { dateStyle: "long", timeZone: "UTC" }).format(day);
    } catch {} // a language that the browser does not know
    return this.#say(name, { date });
  }

  async #copy(passage, address, button) {
    const { citation } = passage;
    const letters = [...passage.text];
    const marked = passage.highlights.map(({ start, end }) => letters.slice(start, end).join("")).join(" … ") || passage.text;
    const source = [citation.title, citation.publisher, this.#day(citation)].filter(Boolean).join(", ");
    const text = ["“" + marked + "”", source, address].filter(Boolean).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      button.firstChild.data = this.#say("copied");
      this.#announce(this.#say("copied"));
      setTimeout(() => (button.firstChild.data = this.#say("copy")), 3000);
    } catch {
      const field = make("textarea", { readonly: true, rows: "4", "aria-label": this.#say("copy_by_hand") });
      field.value = text;
      button.replaceWith(make("div", { class: "column" }, make("span", { text: this.#say("copy_by_hand") }), field));
      field.focus();
      field.select();
    }
  }

  /* Sends the verdict and nothing of the question; one that was given is taken back first. */
  #thumbs(reply) {
    const row = make("div", { class: "row" });
    let said = null;
    for (const [name, helpful] of [["helpful", true], ["unhelpful", false]])
      row.appendChild(press(this.#say(name), async (event) => {
        const verdicts = said === null ? [helpful] : said === helpful ? [null] : [null, helpful];
        said = verdicts.at(-1);
        for (const other of row.children) other.setAttribute("aria-pressed", String(other === event.currentTarget && said !== null));
        for (const verdict of verdicts) await this.#fetch("v1/feedback", undefined, { status: reply.status, helpful: verdict }).catch(() => {});
      }, { "aria-pressed": "false" }));
    return row;
  }
}

customElements.define("signpost-chat", SignpostChat);
const start = () => {
  if (!document.querySelector("signpost-chat")) document.body.appendChild(document.createElement("signpost-chat"));
};
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
})();
