#include "src/adaface.hpp"

const char adaface_cpp_abi_1 = 1;
