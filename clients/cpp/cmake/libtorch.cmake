# bst::libtorch: the headers with LibTorch, which CMAKE_PREFIX_PATH leads to.
find_package(Torch REQUIRED)
add_library(bst::libtorch INTERFACE IMPORTED GLOBAL)
target_link_libraries(bst::libtorch INTERFACE bst::bundle "${TORCH_LIBRARIES}")
