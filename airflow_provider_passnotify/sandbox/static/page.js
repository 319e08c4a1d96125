// Asks the sandbox what is new, about once a second while somebody looks, and shows it. No library, nothing from elsewhere.
"use strict";

const INTERVAL = 800;
const MOST_PHONES = 1000;
const VISIBLE_NOTICES = 3;
const MOST_NOTICES = 50;
const FAULTS = [
  ["404: not found", { action: "status", status: 404 }],
  ["429: too many requests, come back in 2 s", { action: "status", status: 429, retry_after: 2 }],
  ["503: unavailable", { action: "status", status: 503 }],
  ["401: credentials refused", { action: "status", status: 401 }],
  ["carried out, then the connection is cut", { action: "close_after" }],
  ["carried out, and never answered", { action: "read_timeout" }],
  ["carried out, and held until you let it go on", { action: "hold", stage: "accepted" }],
  ["connection reset, nothing carried out", { action: "close_before" }],
  ["answered 3 s later", { action: "latency", latency: 3 }],
  ["answered with a page that is not JSON", { action: "body" }],
];

const $ = (id) => document.getElementById(id);
let generation = null;
let after = 0;
let leftOut = 0;
let timer = null;
let asking = false;
const phones = new Map(); // by pass id; the Map's order is that of the last notice
const about = new Map(); // by ticket: what it is for

function element(name, classes, text) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A phone: the lock screen with its notices, and the back of the pass.

function newPhone(id) {
  const card = element("article", "phone");
  const title = element("h3", "", `Pass ${id}`);
  title.id = `pass-${id}`;
  card.setAttribute("aria-labelledby", title.id);
  const lock = element("div", "lock");
  const head = element("div", "head");
  const count = element("span");
  head.append(title, count);
  const recent = element("div", "recent");
  recent.style.display = "contents";
  const older = element("details");
  const summary = element("summary");
  older.append(summary);
  older.hidden = true;
  lock.append(head, recent, older);
  const back = element("div", "back");
  const shows = element("div", "shows");
  back.append(element("div", "title", "Back of the pass"), shows);
  card.append(lock, back);
  return { id, card, count, recent, older, summary, shows, notices: [], total: 0, text: String(id), message: null };
}

function notice(event) {
  const made = element("div", "notice new");
  const top = element("div", "top");
  top.append(element("span", "", `Ticket ${event.ticketId}`), element("time", "", clock(event.at)));
  top.lastChild.dateTime = event.at;
  made.append(top);
  if (event.label) made.append(element("div", "label", event.label));
  made.append(element("div", "value", event.value));
  return made;
}

function receive(phone, event) {
  phone.total += 1;
  phone.message = event;
  phone.text = `${phone.id} ${event.label || ""} ${event.value}`.toLowerCase();
  phone.recent.prepend(notice(event));
  while (phone.recent.children.length > VISIBLE_NOTICES) phone.summary.after(phone.recent.lastChild);
  while (phone.older.children.length > MOST_NOTICES) phone.older.lastChild.remove();
  phone.count.textContent = phone.total === 1 ? "1 notice" : `${phone.total} notices`;
  phone.older.hidden = phone.total <= VISIBLE_NOTICES;
  phone.summary.textContent = `${phone.total - VISIBLE_NOTICES} earlier`;
  const shown = event.label ? `${event.label}: ${event.value}` : event.value;
  phone.shows.className = "shows";
  phone.shows.replaceChildren(shown);
}

function remove(phone, event) {
  const was = phone.message;
  phone.shows.className = "shows gone";
  phone.shows.replaceChildren(`Deleted at ${clock(event.at)} (ticket ${event.ticketId})`);
  if (was) {
    const gone = element("del", "", was.label ? `${was.label}: ${was.value}` : was.value);
    phone.shows.append(". It was: ", gone);
  }
  phone.message = null;
}

function phoneOf(id) {
  let phone = phones.get(id);
  if (!phone) phone = newPhone(id);
  phones.delete(id);
  phones.set(id, phone); // now the newest
  return phone;
}

function place(touched) {
  const grid = $("phones");
  if ($("order").value === "id") {
    sortById();
  } else {
    for (const phone of touched) {
      const isUsed = phone.card.contains(document.activeElement); // moving it would lose the keyboard's place
      if (!phone.card.isConnected || (!isUsed && grid.firstChild !== phone.card)) grid.prepend(phone.card);
    }
  }
  for (const [id, phone] of phones) {
    if (phones.size <= MOST_PHONES) break;
    phone.card.remove();
    phones.delete(id);
  }
}

function sortById() {
  const sorted = [...phones.values()].sort((one, other) => one.id - other.id);
  let next = $("phones").firstChild;
  for (const phone of sorted) {
    if (phone.card === next) next = next.nextSibling;
    else $("phones").insertBefore(phone.card, next);
  }
}

function orderAnew() {
  if ($("order").value === "id") sortById();
  else $("phones").replaceChildren(...[...phones.values()].reverse().map((phone) => phone.card));
}

function filter() {
  const wanted = $("find").value.trim().toLowerCase();
  let found = 0;
  for (const phone of phones.values()) {
    const fits = phone.text.includes(wanted);
    phone.card.hidden = !fits;
    found += fits;
  }
  const parts = [];
  if (wanted) parts.push(`${found} of ${phones.size} passes fit.`);
  if (phones.size === MOST_PHONES) parts.push(`Only the ${MOST_PHONES} passes with the newest notices are shown.`);
  if (leftOut) parts.push(`${leftOut} earlier sends and deletions are not shown.`);
  setText($("shown"), parts.join(" "));
}

// What came.

function take(told) {
  if (told.generation !== generation) begin(told.generation);
  leftOut += told.leftOut;
  const touched = new Set();
  let notices = 0;
  for (const event of told.events) {
    after = Math.max(after, event.ticketId);
    const whom = event.count === 1 ? `pass ${event.passes[0]}` : `${event.count} passes`;
    about.set(event.ticketId, event.kind === "send" ? whom : `deletion from ${whom}`);
    for (const id of event.passes) {
      const isKnown = phones.has(id);
      if (event.kind === "delete" && !isKnown) continue; // nothing to take away
      const phone = phoneOf(id);
      touched.delete(phone);
      touched.add(phone);
      if (event.kind === "send") receive(phone, event);
      else remove(phone, event);
    }
    notices += event.kind === "send" ? event.count : 0;
  }
  while (about.size > 2000) about.delete(about.keys().next().value);
  if (touched.size) place(touched);
  if (touched.size || told.leftOut) filter();
  announce(told, notices);
  setText($("count-notices"), String(told.delivered));
  setText($("count-passes"), String(phones.size) + (phones.size === MOST_PHONES ? " or more" : ""));
  setText($("count-requests"), String(told.requests.total));
  setText($("count-refused"), String(told.requests.refusals));
  $("empty").hidden = phones.size > 0;
  showTickets(told.tickets);
  showRefused(told.requests.refused);
  showFaults(told.faults, told.requests.held);
}

function begin(anew) {
  generation = anew;
  after = 0;
  leftOut = 0;
  phones.clear();
  about.clear();
  $("phones").replaceChildren();
  filter();
}

function announce(told, notices) {
  if (!notices) return;
  const last = told.events.findLast((event) => event.kind === "send");
  const text = last.label ? `${last.label}: ${last.value}` : last.value;
  const whom = last.count === 1 ? `pass ${last.passes[0]}` : `${last.count} passes`;
  setText($("announcer"), notices === last.count ? `Notice on ${whom}: ${text}` : `${notices} notices, the last on ${whom}`);
}

const shownBefore = {};

function changed(name, value) {
  const text = JSON.stringify(value);
  if (shownBefore[name] === text) return false;
  shownBefore[name] = text;
  return true;
}

function showTickets(tickets) {
  if (!changed("tickets", tickets)) return;
  $("ticket-table").hidden = !tickets.length;
  $("tickets-none").hidden = tickets.length > 0;
  $("ticket-rows").replaceChildren(
    ...tickets.map((ticket) => {
      const row = element("tr");
      const state = String(ticket.status).slice(0, 60);
      const mood = { COMPLETED: "good", FAILED: "bad" }[state.toUpperCase()] || "";
      row.append(element("td", "", ticket.ticketId), element("td", "", about.get(ticket.ticketId) || ""), element("td", mood, state));
      return row;
    }),
  );
}

function showRefused(refused) {
  if (!changed("refused", refused)) return;
  $("refused-none").hidden = refused.length > 0;
  $("refused-list").replaceChildren(
    ...refused.map((request) => {
      const item = element("li");
      item.append(element("div", "why", `${request.status}: ${request.why || "an empty answer"}`));
      const query = request.query ? `?${request.query}` : "";
      item.append(element("div", "where", `${clock(request.at)} ${request.method} ${request.path}${query}`));
      return item;
    }),
  );
}

function nameOf(fault) {
  const known = FAULTS.find(([, made]) => made.action === fault.action && (made.status === undefined || made.status === fault.status));
  return known ? known[0] : `${fault.action}${fault.status ? ` ${fault.status}` : ""}`;
}

function showFaults(faults, held) {
  if (!changed("faults", [faults, held])) return;
  $("fault-list").replaceChildren(
    ...faults.map((fault) => {
      const item = element("li");
      const often = fault.times ? `${fault.hit} of ${fault.times} times` : fault.nth ? `request ${fault.nth}` : `${fault.hit} times so far`;
      const where = [fault.method || "every request", fault.path].filter(Boolean).join(" ");
      item.append(element("div", "", nameOf(fault)), element("div", "where", `${where}: ${often}`));
      return item;
    }),
  );
  $("clear").hidden = !faults.length;
  $("release").hidden = !held;
  $("release").textContent = held === 1 ? "Let 1 request go on" : `Let ${held} requests go on`;
}

// Asking.

async function ask() {
  clearTimeout(timer);
  if (asking) return;
  asking = true;
  try {
    const known = generation === null ? "" : `&generation=${generation}`;
    const answer = await fetch(`/_sandbox/news?after=${after}${known}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`the sandbox answered ${answer.status}`);
    take(await answer.json());
    $("connected").className = "";
    setText($("connected"), "Live");
  } catch (problem) {
    $("connected").className = "lost";
    setText($("connected"), `Not connected: ${problem.message}`);
  }
  asking = false;
  if (!document.hidden) timer = setTimeout(ask, INTERVAL);
}

async function order(method, path, body) {
  $("fault-problem").textContent = "";
  try {
    const answer = await fetch(path, {
      method,
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body && JSON.stringify(body),
    });
    if (!answer.ok) {
      const told = await answer.json();
      throw new Error(told.detail?.map?.((each) => each.msg).join("; ") || `the sandbox answered ${answer.status}`);
    }
  } catch (problem) {
    $("fault-problem").textContent = `Not done: ${problem.message}`;
  }
  ask();
}

function switchOn(event) {
  event.preventDefault();
  const fault = { ...FAULTS[$("fault-what").value][1] };
  if ($("fault-method").value) fault.method = $("fault-method").value;
  if ($("fault-times").value) fault.times = Number($("fault-times").value);
  if ($("fault-path").value.trim()) fault.path = $("fault-path").value.trim();
  order("POST", "/_sandbox/faults", fault);
}

FAULTS.forEach(([name], index) => $("fault-what").append(new Option(name, index)));
$("find").addEventListener("input", filter);
$("order").addEventListener("change", orderAnew);

function begins() {
  $("example").textContent = `curl -u sandbox:sandbox ${location.origin}/v1/pass/123/notify -d '{"value": "Hello"}'`;
  $("fault-form").addEventListener("submit", switchOn);
  $("clear").addEventListener("click", () => order("DELETE", "/_sandbox/faults"));
  $("release").addEventListener("click", () => order("POST", "/_sandbox/release"));
  $("reset").addEventListener("click", () => {
    if (confirm("Forget every notice, ticket, request and fault?")) order("POST", "/_sandbox/reset");
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) ask();
  });
  ask();
}

// A page that was kept (sandbox/page.py, picture) holds what there was, and asks nobody.
function showPicture(told) {
  $("faults").hidden = true;
  document.querySelector("nav a[href='#faults']").hidden = true;
  setText($("connected"), `As it was on ${new Date(told.at * 1000).toLocaleString([], { hour12: false })}`);
  take(told);
}

if ($("picture")) showPicture(JSON.parse($("picture").textContent));
else begins();
