#include <bst/libtorch.hpp>

#include "program.hpp"

int main(int count, char** words) { return bst::run_program<bst::LibTorch>("cpp-libtorch", count, words); }
