#include "graft/core/output.hpp"

void write_compiled() { graft::write_file("compiled.txt", "the library\n"); }
