#pragma once

// Plots as SVG: bars that lie, one row a way, coloured by the page's style sheet.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "graft/core/error.hpp"
#include "numbers.hpp"

/// Text for a page: nothing in it is markup, and control characters are gone.
inline std::string html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\n' || c == '\t') out += c;
    }
  }
  return out;
}

struct Bar {
  double value = 0;
  std::string text;             // beside it
  double low = 0, high = 0;     // a whisker, if high > low
  std::string_view style = {};  // a class of the style sheet
};

struct BarGroup {
  std::string title;
  std::vector<Bar> bars;
};

/// Groups of bars under each other, from 0 to `most`. `label` says in words what is seen.
inline std::string bar_plot(const std::vector<BarGroup>& groups, double most, const std::string& label, int width,
                            int title_width) {
  constexpr int bar = 16, gap = 14, text_width = 100;
  const int plot = width - title_width - text_width;
  const auto x = [&](double value) { return decimal(title_width + plot * std::clamp(value / most, 0.0, 1.0), 1); };
  std::string body;
  int y = gap / 2;
  for (const BarGroup& group : groups) {
    const int height = static_cast<int>(group.bars.size()) * (bar + 3) - 3;
    body += graft::message("<text class=\"name\" x=\"", title_width - 10, "\" y=\"", y + height / 2 + 5, "\">",
                           html(group.title), "</text>\n");
    for (const Bar& one : group.bars) {
      body += graft::message("<rect class=\"bar ", one.style, "\" x=\"", title_width, "\" y=\"", y, "\" height=\"", bar,
                             "\" width=\"", decimal(plot * std::clamp(one.value / most, 0.002, 1.0), 1), "\"/>\n");
      if (one.high > one.low)
        body += graft::message("<path class=\"whisker\" d=\"M", x(one.low), " ", y + bar / 2, "H", x(one.high), "M",
                               x(one.low), " ", y + 4, "v8M", x(one.high), " ", y + 4, "v8\"/>\n");
      body += graft::message("<text class=\"value\" x=\"", x(std::max(one.value, one.high)), "\" dx=\"6\" y=\"",
                             y + bar - 3, "\">", html(one.text), "</text>\n");
      y += bar + 3;
    }
    y += gap - 3;
  }
  return graft::message("<svg viewBox=\"0 0 ", width, " ", y, "\" role=\"img\" aria-label=\"", html(label), "\">\n",
                        "<path class=\"axis\" d=\"M", title_width, " 0V", y, "\"/>\n", body, "</svg>\n");
}
