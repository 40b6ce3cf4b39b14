#include <bst/onnxruntime.hpp>

#include "program.hpp"

int main(int count, char** words) {
  return bst::run_program<bst::OnnxRuntime>("cpp-onnxruntime", count, words);
}
