(function () {
  "use strict";
  var root = document.documentElement;
  var charts = JSON.parse(document.getElementById("charts").textContent);
  var asked = new URLSearchParams(location.search);

  function recall(key) { try { return localStorage.getItem("tuwen." + key); } catch (e) { return null; } }
  function keep(key, value) { try { localStorage.setItem("tuwen." + key, value); } catch (e) { /* private window */ } }

  // {"t": [English, Chinese]} → the words of the chosen language; everything else as it is
  function spoken(part, side) {
    if (Array.isArray(part)) { return part.map(function (p) { return spoken(p, side); }); }
    if (part && typeof part === "object") {
      if (Array.isArray(part.t)) { return part.t[side]; }
      var out = {};
      Object.keys(part).forEach(function (key) { out[key] = spoken(part[key], side); });
      return out;
    }
    return part;
  }

  function draw(language) {
    Object.keys(charts).forEach(function (key) {
      var place = document.getElementById("chart-" + key);
      if (!place) { return; }
      var figure = spoken(charts[key], language === "zh" ? 1 : 0);
      figure.layout.paper_bgcolor = figure.layout.plot_bgcolor = "rgba(0,0,0,0)";
      figure.layout.font = { family: getComputedStyle(document.body).fontFamily, size: 13 };
      figure.layout.hoverlabel = { bgcolor: "#172030", bordercolor: "#172030", font: { color: "#fff" } };
      var x = figure.layout.xaxis;
      if (x && x.nticks && place.clientWidth < 380) { x.nticks = 4; x.tickangle = 0; } // a phone: few marks, upright
      Plotly.react(place, figure.data, figure.layout, { displayModeBar: false, responsive: true });
    });
  }

  function speak(language) {
    root.dataset.language = language;
    root.lang = language === "zh" ? "zh-CN" : "en";
    document.title = document.querySelector("meta[name=title-" + language + "]").content;
    document.querySelectorAll("[data-speak]").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.speak === language));
    });
    document.querySelectorAll("[data-label-en]").forEach(function (element) {
      element.setAttribute("aria-label", element.getAttribute("data-label-" + language));
    });
    draw(language);
  }

  function light(theme) { root.dataset.theme = theme; }

  document.querySelectorAll("[data-speak]").forEach(function (button) {
    button.addEventListener("click", function () { keep("language", button.dataset.speak); speak(button.dataset.speak); });
  });
  document.getElementById("theme").addEventListener("click", function () {
    var theme = root.dataset.theme === "dark" ? "light" : "dark";
    keep("theme", theme);
    light(theme);
  });
  document.querySelectorAll(".more").forEach(function (button) {
    var text = button.previousElementSibling;
    if (text.scrollHeight <= text.clientHeight + 2) { button.hidden = true; }
    button.addEventListener("click", function () { button.parentElement.classList.add("open"); });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details[data-print]").forEach(function (part) { part.open = true; });
  });

  var dark = window.matchMedia && matchMedia("(prefers-color-scheme: dark)").matches;
  light(asked.get("theme") || recall("theme") || (dark ? "dark" : "light"));
  var first = (navigator.language || "en").toLowerCase().indexOf("zh") === 0 ? "zh" : "en";
  speak(asked.get("lang") || recall("language") || first);
})();
