import com.yahoo.labs.samoa.instances.*;
import java.nio.*;
import java.nio.file.*;
import java.util.*;
import moa.classifiers.Classifier;
import moa.core.Utils;
import moa.options.ClassOption;

/**
 * Plays rows that the benchmark wrote to one of MOA's learners, each row predicted before it is learned, and prints accuracy and rows a second.
 *
 *     java -cp moa.jar:weka.jar Peer.java FILE INPUTS LEARNER SECONDS        MOA's jar and the Weka jar it names, from Maven Central
 *
 * FILE holds the inputs and the class of each row as little-endian float64. The rows are played twice, to a fresh learner each time, and the second time counts: by then Java has compiled what runs often. After SECONDS a learner is
 * stopped; its rate is that of the rows it had.
 */
public class Peer {
    public static void main(String[] args) throws Exception {
        int inputs = Integer.parseInt(args[1]);
        DoubleBuffer values = ByteBuffer.wrap(Files.readAllBytes(Path.of(args[0]))).order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer();
        ArrayList<Attribute> attributes = new ArrayList<>();
        for (int i = 0; i < inputs; i++) attributes.add(new Attribute("x" + i));
        attributes.add(new Attribute("class", List.of("0", "1")));
        InstancesHeader header = new InstancesHeader(new Instances("rows", attributes, 0));
        header.setClassIndex(inputs);
        Instance[] rows = new Instance[values.capacity() / (inputs + 1)];
        for (int i = 0; i < rows.length; i++) {
            double[] v = new double[inputs + 1];
            values.get(v);
            rows[i] = new DenseInstance(1, v);
            rows[i].setDataset(header);
        }
        String learner = switch (args[2]) {
            case "ht" -> "trees.HoeffdingTree";
            case "hat" -> "trees.HoeffdingAdaptiveTree";
            case "efdt" -> "trees.EFDT";
            case "bagging" -> "meta.LeveragingBag -s 10";
            case "arf" -> "meta.AdaptiveRandomForest -s 10";
            case "srp" -> "meta.StreamingRandomPatches -s 10";
            default -> "";
        };
        if (learner.isEmpty()) {
            System.out.println("has none");
            return;
        }
        for (int pass = 0; pass < 2; pass++) {
            Classifier c = (Classifier) ClassOption.cliStringToObject(learner, Classifier.class, null);
            c.setModelContext(header);
            c.prepareForUse();
            long began = System.nanoTime(), patience = (long) (Double.parseDouble(args[3]) * 1e9);
            int n = 0, right = 0;
            for (Instance row : rows) {
                if (Utils.maxIndex(c.getVotesForInstance(row)) == (int) row.classValue()) right++;
                c.trainOnInstance(row);
                if (++n % 100 == 0 && System.nanoTime() - began > patience) break;
            }
            double took = (System.nanoTime() - began) / 1e9;
            if (pass == 1) System.out.printf(Locale.ROOT, "%.0f rows/s, accuracy %.4f of %d rows%n", n / took, (double) right / n, n);
        }
    }
}
