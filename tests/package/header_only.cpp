#include "graft/core/output.hpp"

void write_compiled();

int main() {
  graft::write_file("header_only.txt", "headers alone\n");
  write_compiled();
}
