# bst::onnxruntime: the headers with ONNX Runtime. ORT_ROOT is an unpacked release, with include/ and lib/.
find_path(ORT_INCLUDE onnxruntime_cxx_api.h HINTS "${ORT_ROOT}/include" PATH_SUFFIXES onnxruntime REQUIRED)
find_library(ORT_LIBRARY onnxruntime HINTS "${ORT_ROOT}/lib" REQUIRED)
add_library(bst::onnxruntime INTERFACE IMPORTED GLOBAL)
target_include_directories(bst::onnxruntime INTERFACE "${ORT_INCLUDE}")
target_link_libraries(bst::onnxruntime INTERFACE bst::bundle "${ORT_LIBRARY}")
