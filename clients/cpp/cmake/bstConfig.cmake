# find_package(bst CONFIG) gives bst::bundle; COMPONENTS onnxruntime, libtorch give bst::onnxruntime, bst::libtorch.
include("${CMAKE_CURRENT_LIST_DIR}/dependencies.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/bstTargets.cmake")
foreach(runtime IN LISTS bst_FIND_COMPONENTS)
  include("${CMAKE_CURRENT_LIST_DIR}/${runtime}.cmake")
endforeach()
