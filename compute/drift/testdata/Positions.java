// Positions runs MOA's detectors. A line of standard input is the options of a detector, a tab and the values of a stream; the answer is a line with the positions of its drifts, a semicolon and those of its warnings.
// positions.py calls it.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import moa.classifiers.core.driftdetection.ChangeDetector;
import moa.options.ClassOption;

class Positions {
    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split("\t");
            ChangeDetector d = (ChangeDetector) ClassOption.cliStringToObject(parts[0], ChangeDetector.class, null);
            StringBuilder drifts = new StringBuilder(), warnings = new StringBuilder();
            int i = 0;
            for (String x : parts[1].split(" ")) {
                d.input(Double.parseDouble(x));
                if (d.getChange()) {
                    drifts.append(i).append(' ');
                }
                if (d.getWarningZone()) {
                    warnings.append(i).append(' ');
                }
                i++;
            }
            System.out.println(drifts + ";" + warnings);
        }
    }
}
