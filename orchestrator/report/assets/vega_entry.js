// What a page needs of Vega to draw compiled specifications: no maps, forces, trees, clouds of words, Voronoi cells,
// regressions, contours, and no tooltip that writes markup.
import { transforms } from "vega-dataflow";
import * as encode from "vega-encode";
import { expressionInterpreter } from "vega-interpreter";
import { parse } from "vega-parser";
import * as basic from "vega-transforms";
import { View } from "vega-view";
import * as layout from "vega-view-transforms";

Object.assign(transforms, basic, layout, encode);
window.vegaSlim = { View, parse, expressionInterpreter };
