#include "src/adaface.hpp"

const char adaface_cpp_abi_2 = 1;
