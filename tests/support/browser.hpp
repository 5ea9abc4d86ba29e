#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <nlohmann/json.hpp>

#include "graft/core/json.hpp"
#include "support/program.hpp"

/// Opens a page in headless Chromium, `width` pixels wide, runs `script` in it once it has loaded, a function body
/// whose value is turned into JSON, and gives that. The page gets no network.
inline graft::Json look_at_page(const std::filesystem::path& page, int width, const std::string& script) {
  std::ifstream in(page);
  std::stringstream text;
  text << in.rdbuf();
  const std::filesystem::path copy = page.string() + ".probed.html", profile = page.string() + ".profile";
  std::ofstream(copy) << text.str() << "<pre id=\"probe\"></pre><script>addEventListener('load', () => {\n"
                      << "document.getElementById('probe').textContent = 'PROBE' + encodeURIComponent(JSON.stringify("
                      << "(() => {" << script << "})())) + 'EBORP'; });</script>";
  const ProgramResult done = run_program(
      GRAFT_CHROMIUM
      " --headless --no-sandbox --disable-gpu --hide-scrollbars --proxy-server=127.0.0.1:9 --user-data-dir='" +
      profile.string() + "' --window-size=" + std::to_string(width) + ",1000 --dump-dom 'file://" + copy.string() +
      "'");
  const std::size_t begin = done.output.find(">PROBE"), end = done.output.find("EBORP<", begin);
  if (begin == std::string::npos || end == std::string::npos) throw std::runtime_error("no probe in: " + done.output);
  std::string json;
  for (std::size_t at = begin + 6; at < end; ++at) {
    json += done.output[at] == '%' ? static_cast<char>(std::stoi(done.output.substr(at + 1, 2), nullptr, 16))
                                   : done.output[at];
    if (done.output[at] == '%') at += 2;
  }
  return graft::parse_json(json, "the probe");
}
